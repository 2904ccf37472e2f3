"""The control topic read back: who said what and why, and whether it counted."""

from __future__ import annotations

from typing import Literal

import msgspec

from models.decision import rfc3339
from models.notices import Control
from streams.consume import Record
from streams.control.messages import TIME_MAX_S, RefusedControl, decode
from streams.control.verifier import Verifier


class Entry(msgspec.Struct, frozen=True):
    """One record of the control topic.

    Parameters
    ----------
    partition, offset
        Where it stands.
    arrived_at
        The record's own timestamp, RFC 3339.
    outcome
        What a worker with these settings makes of it.
    reason, detail
        Of a refusal.
    message
        `None` where the record is none.
    """

    partition: int
    offset: int
    arrived_at: str
    outcome: Literal["accepted", "repeated", "refused"]
    reason: str | None
    detail: str | None
    message: Control | None


class Query(msgspec.Struct, frozen=True):
    """Which entries are asked for.

    Parameters
    ----------
    subjects
        Keys (`scope:value`) of which any will do; empty asks for all.
    since_s
        Only those that reached Kafka since, Unix seconds.
    """

    subjects: tuple[str, ...] = ()
    since_s: float | None = None


class Reader:
    """Turns records into the entries asked for.

    It must see the whole topic in order, since what was said before decides what is a repeat.
    """

    def __init__(self, verifier: Verifier, query: Query) -> None:
        self._verifier = verifier
        self._query = query

    def read(self, record: Record) -> Entry | None:
        """Return the record's entry if it is asked for."""
        arrived_s = record.timestamp_ms / 1_000
        message = None
        reason = detail = None
        outcome: Literal["accepted", "repeated", "refused"] = "refused"
        try:
            message = decode(record.value or b"")
            outcome = self._verifier.check(message, arrived_s)
        except RefusedControl as refused:
            reason, detail = refused.reason, refused.detail
        if not self._wants(message, arrived_s):
            return None
        # Whoever writes a record may set any 64 bits for its time.
        arrived_at = rfc3339(min(max(arrived_s, 0.0), TIME_MAX_S))
        return Entry(record.partition, record.offset, arrived_at, outcome, reason, detail, message)

    def _wants(self, message: Control | None, arrived_s: float) -> bool:
        query = self._query
        if query.since_s is not None and arrived_s < query.since_s:
            return False
        if not query.subjects:
            return True
        subject = getattr(message, "subject", None)
        return subject is not None and subject.key in query.subjects
