"""Where a case is read from: the topics, or files that a replay and an audit have written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from models.notices import Control
from streams.consume import Record, open_log
from streams.control import messages
from streams.control.messages import RefusedControl
from streams.control.signing import load_keys
from streams.control.verifier import Verifier
from streams.gateway.files import Progress, read_lines
from streams.settings import Settings

#: A decision has 1–10 KB, a control message 25 KB at most; longer lines are something else.
_LINE_BYTES_MAX = 2**20

#: Hands each message of a log to a function: a decision as it came, or what somebody said.
Decisions = Callable[[Callable[[bytes], None]], None]
Controls = Callable[[Callable[[Control], None]], None]


class Sources(NamedTuple):
    """Where a case is read from.

    Parameters
    ----------
    name
        As a person calls where the decisions come from.
    decisions
        Scans them; may be called twice.
    control
        Scans what people said; `None` where that is not known.
    hint
        What to do where nothing is found.
    doubt
        Why what people said may not be their word; empty where their signatures are checked.
    """

    name: str
    decisions: Decisions
    control: Controls | None
    hint: str
    doubt: str = ""


def from_kafka(settings: Settings) -> Sources:
    """Return the topics as sources; of control messages only those that the workers heed."""
    topics = settings.topics

    def scan(topic: str, take: Callable[[Record], None]) -> None:
        async def read() -> None:
            async with open_log(settings.kafka, topic) as log:
                async for record in log.backlog():
                    take(record)

        asyncio.run(read())

    def decisions(take: Callable[[bytes], None]) -> None:
        scan(topics.decisions, lambda record: take(record.value or b""))

    verified = settings.control.accept_unsigned or bool(load_keys(settings.control))

    def control(take: Callable[[Control], None]) -> None:
        verifier = Verifier(settings.control) if verified else None

        def heed(record: Record) -> None:
            with suppress(RefusedControl):
                message = messages.decode(record.value or b"")
                if verifier is not None:
                    verifier.check(message, record.timestamp_ms / 1000)
                take(message)

        scan(topics.control, heed)

    return Sources(
        f"the topic {topics.decisions}",
        decisions,
        control,
        "`pairwatch decisions` lists those that there are, `pairwatch topics` says how long they "
        "are kept",
        "" if verified else "Signatures were not checked: these settings have no key.",
    )


def from_files(decisions: str, control: str | None) -> Sources:
    """Return files with a JSON object a line as sources."""

    def lines(path: str) -> Iterator[bytes]:
        for _, line in read_lines(path, _LINE_BYTES_MAX, Progress.of([path])):
            yield line

    def scan_decisions(take: Callable[[bytes], None]) -> None:
        for line in lines(decisions):
            take(line)

    def scan_control(take: Callable[[Control], None]) -> None:
        for line in lines(control or ""):
            with suppress(RefusedControl):
                take(messages.decode(line))

    return Sources(
        decisions,
        scan_decisions,
        scan_control if control is not None else None,
        "is it the file that `pairwatch replay --decisions` wrote?",
        "Signatures were not checked: a file says whatever was written to it.",
    )
