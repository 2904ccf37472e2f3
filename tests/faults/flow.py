"""Traffic that does not stop while things break."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import msgspec
from aiokafka import AIOKafkaProducer

from models.request import Request
from streams.kafka import client_arguments
from streams.partitions import partition_of
from streams.settings import Settings
from tests.integration.workers import START_S, traffic

#: Events are sent at this pace for as long as workers are killed: 500 a second.
_PACE_EVENTS, _PACE_S = 25, 0.05
#: The traffic with copiers in it; ordinary people come after them for as long as it takes.
_EVENTS = 8_000
_APART_S = 0.05
#: Longer than any broker is away.
_PATIENCE_MS = 180_000


def endless() -> Iterator[Request]:
    """Yield traffic that does not end, all within two hours (see `traffic`)."""
    yield from traffic(_EVENTS, apart_s=_APART_S)
    for n in itertools.count(_EVENTS):
        yield Request(
            START_S + n * _APART_S, f"r{n}", f"person-{n % 60}", "view", [f"popular-{n % 7}"]
        )


class Flow:
    """Sends traffic at a steady pace while a block lasts, and at least all copiers' requests."""

    def __init__(
        self, settings: Settings, requests: Iterator[Request] | None = None, at_least: int = _EVENTS
    ) -> None:
        self._settings = settings
        self._requests = endless() if requests is None else requests
        self._at_least = at_least
        self._ended = asyncio.Event()
        self.sent = 0

    async def __aenter__(self) -> Flow:
        self._producer = AIOKafkaProducer(
            **client_arguments(self._settings.kafka),
            enable_idempotence=True,
            request_timeout_ms=_PATIENCE_MS,
        )
        await self._producer.start()
        self._flowing = asyncio.create_task(self._flow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        try:
            await self._flowing
        finally:
            await self._producer.stop()

    async def _flow(self) -> None:
        topics = self._settings.topics
        for request in self._requests:
            key = request.account_id.encode()
            target = partition_of(key, topics.partitions) if topics.keyed_by_account else 0
            value = msgspec.json.encode(request)
            await self._producer.send(topics.requests, value, key=key, partition=target)
            self.sent += 1
            if self.sent % _PACE_EVENTS == 0 and not self._ended.is_set():
                await asyncio.sleep(_PACE_S)  # a pace, nothing that is waited for
            if self.sent >= self._at_least and self._ended.is_set():
                await self._producer.flush()
                return
