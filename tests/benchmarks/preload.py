"""Fills the topics and the file that are measured with the same events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.partitions import partition_of
from tests.benchmarks.events import Event, events

PARTITIONS = 12
#: Keyed by account, as `topics.keyed_by_account` trusts it; and without keys, as shippers do it.
KEYED, UNKEYED = "bench.keyed", "bench.unkeyed"
_CHUNK = 20_000

_Rows = dict[int, list[tuple[bytes | None, bytes]]]


async def preload(bootstrap: str, count: int, log: Path) -> int:
    """Send the events to both topics and write them to a file; return their bytes on the wire."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (KEYED, UNKEYED)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=262_144)
    await producer.start()
    stream, size = events(count), 0
    try:
        with log.open("wb") as file:
            for chunk in _chunks(stream):
                keyed: _Rows = defaultdict(list)
                unkeyed: _Rows = defaultdict(list)
                for n, (account_id, value) in enumerate(chunk):
                    key = account_id.encode()
                    keyed[partition_of(key, PARTITIONS)].append((key, value))
                    unkeyed[n * PARTITIONS // _CHUNK].append((None, value))
                    file.write(value + b"\n")
                    size += len(value)
                sent = await _send(producer, KEYED, keyed) + await _send(producer, UNKEYED, unkeyed)
                await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size


def _chunks(stream: Iterator[Event]) -> Iterator[list[Event]]:
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk


async def _send(producer: Any, topic: str, rows: _Rows) -> list[Any]:
    sent = []
    for partition, some in rows.items():
        batch = producer.create_batch()
        for key, value in some:
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent
