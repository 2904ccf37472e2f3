"""Decisions as tests need them, and the state topic to write them to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from models.decision import Decision, rfc3339
from streams import topics
from streams.schemas import load
from streams.settings import Settings

NOW_S = 1_709_409_600.0
EXAMPLE = msgspec.convert(load("decision")["examples"][0], Decision)

#: Key and value.
Message = tuple[bytes, bytes | None]


def decision(revision: int = 1, value: str = "acct_17", **changes: Any) -> Decision:
    """Return a throttle that is meant and ends an hour after `NOW_S`."""
    told: dict[str, Any] = {
        "decision_id": f"{value}-{revision}",
        "value": value,
        "revision": revision,
        "simulated": False,
        "expires_at": rfc3339(NOW_S + 3_600),
    }
    return msgspec.structs.replace(EXAMPLE, **(told | changes))


def ban(revision: int = 1, value: str = "acct_17", **changes: Any) -> Decision:
    """Return a ban that is meant and ends an hour after `NOW_S`."""
    return decision(revision, value, action="ban", limit_per_minute=None, **changes)


def tomorrow() -> str:
    """Return an end long after the test, for programs that go by the real time."""
    return rfc3339(time.time() + 86_400)


def message(of: Decision) -> Message:
    """Return a decision as it stands in the state topic."""
    return of.key.encode(), msgspec.json.encode(of)


def tombstone(of: Decision) -> Message:
    """Return what lifts a decision."""
    return of.key.encode(), None


class StateTopic:
    """The state topic, to write to."""

    def __init__(self, producer: AIOKafkaProducer, name: str) -> None:
        self._producer = producer
        self.name = name

    async def put(self, of: Decision) -> None:
        """Put a decision in force."""
        key, value = message(of)
        await self._producer.send_and_wait(self.name, value, key=key)

    async def lift(self, of: Decision) -> None:
        """Lift a decision."""
        await self._producer.send_and_wait(self.name, None, key=of.key.encode())


@asynccontextmanager
async def state_topic_of(settings: Settings) -> AsyncIterator[StateTopic]:
    """Create the topics, and yield the one with the state."""
    await topics.create(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers)
    await producer.start()
    try:
        yield StateTopic(producer, settings.topics.decisions_state)
    finally:
        await producer.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for what other tasks, threads or programs bring about."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nobody there could set an event
            await asyncio.sleep(0.01)
