"""Feeding the simulated week to the gateway's topic, no further ahead than the worker follows."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.request import Request
from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.partitions import partition_of
from streams.settings import Settings
from streams.simulate import Label

#: Events sent and not yet judged: a second's work for a worker, so that it never runs dry,
#: and little enough that what is shown is what is being sent.
AHEAD_MAX = 12_000
_CHUNK = 2_000
_ACKNOWLEDGE_TIMEOUT_S = 60.0
DAY_S = 86_400

_Rows = dict[int, list[tuple[bytes, bytes]]]


class Feed:
    """Sends events, and knows what was sent.

    Parameters
    ----------
    events
        In time order.
    attackers
        The labels of those whose takings are written down.
    partitions
        Of the gateway's topic.
    """

    def __init__(
        self, events: Iterator[Request], attackers: Collection[Label], partitions: int
    ) -> None:
        self._events = events
        self._partitions = partitions
        self._encode = msgspec.json.Encoder().encode
        self._begins_s = {label.account_id: label.attack_start_s or 0.0 for label in attackers}
        #: For each attacker when (event time) it was first sent each pair of others, from its
        #: first request of the attack on; at most the catalogue for each.
        self.taken: dict[str, dict[str, float]] = {name: {} for name in self._begins_s}
        #: Who made a request on which day (UTC, counted from 1970): seven entries an account.
        self.account_days: set[tuple[str, int]] = set()
        self.sent = 0
        self.done = False
        self._settled = 0
        self._room = asyncio.Event()
        #: The event time reached after so many events; those not settled yet, so few.
        self._marks: deque[tuple[int, float]] = deque()
        self.event_time_s = 0.0

    def settled(self, count: int) -> None:
        """Take note of how many of the events the worker is done with."""
        self._settled = count
        while self._marks and self._marks[0][0] <= count:
            self.event_time_s = self._marks.popleft()[1]
        self._room.set()

    async def run(self, settings: Settings) -> None:
        """Send everything.

        All of an account's events go to one partition, in order: what comes out of the worker
        is then the same in every run.

        Raises
        ------
        OperatorError
            The broker does not take the events.
        """
        producer = AIOKafkaProducer(**client_arguments(settings.kafka), max_batch_size=262_144)
        topic = settings.topics.requests
        async with running(producer, settings.kafka):
            try:
                while rows := await asyncio.to_thread(self._take):
                    async with asyncio.timeout(_ACKNOWLEDGE_TIMEOUT_S):
                        await _send(producer, topic, rows)
                    self.sent += sum(map(len, rows.values()))
                    await self._wait_for_room()
            except (KafkaError, TimeoutError) as error:
                raise OperatorError(f"the broker takes no events: {error!r}") from None
        self.done = True

    async def _wait_for_room(self) -> None:
        while self.sent - self._settled > AHEAD_MAX:  # whoever polls the worker sees it hang
            self._room.clear()
            await self._room.wait()

    def _take(self) -> _Rows:
        """Make the next events, in a thread of its own: the display goes on meanwhile."""
        rows: _Rows = defaultdict(list)
        events = list(islice(self._events, _CHUNK))
        for event in events:
            key = event.account_id.encode()
            rows[partition_of(key, self._partitions)].append((key, self._encode(event)))
            self.account_days.add((event.account_id, int(event.ts // DAY_S)))
            begins_s = self._begins_s.get(event.account_id)
            if begins_s is not None and event.ts >= begins_s:
                self._write_down(event)
        if events:
            self._marks.append((self.sent + len(events), events[-1].ts))
        return rows

    def _write_down(self, event: Request) -> None:
        if event.action != "generate" and event.owner_id != event.account_id:
            taken = self.taken[event.account_id]
            for pair_id in event.pair_ids:
                taken.setdefault(pair_id, event.ts)


async def _send(producer: Any, topic: str, rows: _Rows) -> None:
    """Send rows in packed batches: one by one they would cost more than judging them."""
    pending = []
    for partition, some in rows.items():
        batch = producer.create_batch()
        for key, value in some:
            if batch.append(key=key, value=value, timestamp=None) is None:
                pending.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        pending.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*pending)
