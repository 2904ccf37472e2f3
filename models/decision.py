"""What pairwatch asks of those who enforce: the decision, its reasons and its evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

SCHEMA_VERSION = 1
SAMPLE_REQUEST_IDS_MAX = 10
LINKED_ACCOUNTS_MAX = 100

Scope = Literal["account", "group"]
DecisionAction = Literal["throttle", "ban", "release", "review"]


def rfc3339(time_s: float) -> str:
    """Write event time (Unix seconds) as RFC 3339 in UTC with milliseconds.

    >>> rfc3339(1709409600.25)
    '2024-03-02T20:00:00.250Z'
    """
    text = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Reason(msgspec.Struct, frozen=True):
    """One signal behind a decision, in figures that a person can compare.

    `observed` and `expected` share `unit`; `weight` (0–1) is this signal's part in the score.
    """

    signal: str
    observed: float
    expected: float
    unit: str
    weight: float


class Source(msgspec.Struct, frozen=True):
    """Where the request stands that tipped the balance."""

    topic: str
    partition: int
    offset: int


class Evidence(msgspec.Struct, frozen=True):
    """What was seen: times are RFC 3339 event time, `catalogue_share` is 0–1."""

    window_start: str
    window_end: str
    requests: int
    distinct_pairs: int
    catalogue_share: float
    sample_request_ids: tuple[str, ...]
    linked_accounts: tuple[str, ...]
    source: Source


class DetectorIdentity(msgspec.Struct, frozen=True):
    """Which code and which settings decided."""

    version: str
    config_hash: str


class Decision(msgspec.Struct, frozen=True):
    """One decision about one subject; see the decision contract for every field.

    A consumer drops a repeated `decision_id` and a `revision` that is not above the last one
    it knows for the same `scope` and `value`.
    """

    decision_id: str
    schema_version: int
    scope: Scope
    value: str
    revision: int
    action: DecisionAction
    limit_per_minute: float | None
    issued_at: str
    expires_at: str | None
    simulated: bool
    scenario: str
    score: float
    reasons: tuple[Reason, ...]
    evidence: Evidence
    detector: DetectorIdentity

    @property
    def key(self) -> str:
        """The Kafka key, `scope:value`."""
        return f"{self.scope}:{self.value}"
