"""Whether workers have taken up what was said: they pass it on to every partition of accounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from models.notices import Control
from streams.consume import Log, open_log
from streams.errors import OperatorError
from streams.settings import Settings

#: A worker passes it on within a second; one that just starts has to read its state first.
HEEDED_TIMEOUT_S = 10.0
#: How far the clocks of workers may be from ours.
_SKEW_S = 60.0

#: Waits until a message is taken up; returns what to tell the operator.
Heeded = Callable[[Control], Awaitable[str]]


@asynccontextmanager
async def watching(told: Settings) -> AsyncIterator[Heeded]:
    """Look at what workers pass on from now on.

    That they don't is no error, nor that this operator may not look: what was said stands in its
    topic, and the next worker heeds it.
    """
    async with AsyncExitStack() as stack:
        try:
            log = await stack.enter_async_context(
                open_log(told.kafka, told.topics.notices, time.time() - _SKEW_S)
            )
        except OperatorError as error:
            reason = str(error)

            async def unknown(_: Control) -> str:
                return f"whether a worker has taken it up can't be seen: {reason}"

            yield unknown
        else:
            yield lambda message: _passed_on(log, message)


async def _passed_on(log: Log, message: Control) -> str:
    missing = set(log.partitions)
    try:
        async with asyncio.timeout(HEEDED_TIMEOUT_S):
            async for record in log.follow():
                if record.key == message.id.encode():
                    missing.discard(record.partition)
                if not missing:
                    break
    except TimeoutError:
        return (
            f"not taken up within {HEEDED_TIMEOUT_S:g} s: no worker runs, or none with this key "
            "(then it stands in the dead letters); one that starts later takes it up"
        )
    return "taken up: it holds for all accounts within a second or two"
