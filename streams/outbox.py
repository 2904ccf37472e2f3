"""What leaves the worker: messages that must be acknowledged before anything is committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
from faust import App

from streams.partitions import partition_of

#: An acknowledgement that takes longer than this is a broker that is gone: the worker stops,
#: loudly, and what it had not committed is done again.
PRODUCE_TIMEOUT_S = 120.0
#: What waits for those before it, for each partition: whoever comes after waits, too. Some three
#: thousand requests, more than come while a broker answers; one may have as much by itself.
TOGETHER_BYTES_MAX = 2**20


class Row(msgspec.Struct, frozen=True, gc=False):
    """One message of many: its key and value, and when it was made (Unix milliseconds)."""

    key: bytes
    value: bytes | None
    timestamp_ms: int | None = None


class _Together(msgspec.Struct):
    """Messages for one partition that leave together: `TOGETHER_BYTES_MAX`, and what came last."""

    rows: list[Row]
    acknowledged: asyncio.Future[None]
    size_bytes: int = 0


class Outbox:
    """Sends through the Faust application's producer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._partitions: dict[str, int] = {}
        #: By topic and partition. aiokafka lets one batch wait until the one before it has left;
        #: of several that wait, one may lose every time, and then gives up within seconds: it
        #: takes what it has waited off its patience again and again.
        self._turns: dict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        #: By topic and partition what leaves together next; and who sees to it.
        self._together: dict[tuple[str, int], _Together] = {}
        self._senders: set[asyncio.Task[None]] = set()

    @property
    def _producer(self) -> Any:
        return self._app.producer._ensure_producer()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        if topic not in self._partitions:
            self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return self._partitions[topic]

    async def send(self, topic: str, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        """Hand one message to the producer; the future is its acknowledgement."""
        # Chosen here because the producer would hash every key anew, in pure Python.
        partition = partition_of(key, await self.partitions(topic))
        sent: asyncio.Future[Any] = await self._producer.send(
            topic, key=key, value=value, partition=partition
        )
        return sent

    async def send_together(
        self, topic: str, rows: Iterable[Row], linger_s: float = 0.0
    ) -> list[asyncio.Future[None]]:
        """Send many small messages; the futures are their acknowledgements.

        They leave with others for their partition, as soon as what is on its way there has
        arrived: the busier the worker, the more go together. And not before `linger_s` is over,
        if none wait there yet.
        """
        partitions = await self.partitions(topic)
        parts: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            parts[partition_of(row.key, partitions)].append(row)
        return [
            await self._join((topic, partition), some, linger_s)
            for partition, some in parts.items()
        ]

    async def _join(
        self, to: tuple[str, int], rows: list[Row], linger_s: float
    ) -> asyncio.Future[None]:
        while (together := self._together.get(to)) and together.size_bytes >= TOGETHER_BYTES_MAX:
            await asyncio.wait([together.acknowledged])
        if together is None:
            together = self._together[to] = _Together([], asyncio.Future())
            sender = asyncio.create_task(self._send_what_waits(*to, linger_s))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        together.rows.extend(rows)
        together.size_bytes += sum(len(row.value or b"") for row in rows)
        return together.acknowledged

    async def _send_what_waits(self, topic: str, partition: int, linger_s: float) -> None:
        if linger_s:
            await asyncio.sleep(linger_s)
        async with self._turns[topic, partition]:
            together = self._together.pop((topic, partition))
            acknowledged = together.acknowledged
            try:
                sent = await send_rows(self._producer, topic, partition, together.rows)
                await asyncio.gather(*sent)
            except Exception as error:  # whoever waits for them is told
                acknowledged.set_exception(error)
            else:
                acknowledged.set_result(None)
            finally:
                acknowledged.cancel()  # where this was cancelled; else it is done

    async def send_rows(
        self, topic: str, partition: int, rows: Iterable[Row]
    ) -> list[asyncio.Future[Any]]:
        """Hand many messages for one partition to the producer."""
        async with self._turns[topic, partition]:
            return await send_rows(self._producer, topic, partition, rows)


async def send_rows(
    producer: Any, topic: str, partition: int, rows: Iterable[Row]
) -> list[asyncio.Future[Any]]:
    """Hand many messages for one partition to an aiokafka producer, packed into whole batches.

    Each message on its own costs the producer 20–50 µs, packed it costs one or two.
    """
    sent = []
    batch = producer.create_batch()
    for row in rows:
        if batch.append(timestamp=row.timestamp_ms, key=row.key, value=row.value) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(timestamp=row.timestamp_ms, key=row.key, value=row.value)
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent
