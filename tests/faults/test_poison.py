"""One poisoned message among good ones, in every topic that a worker reads, costs no good one."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from streams.kafka import client_arguments
from streams.outbox import Row, send_rows
from streams.settings import Settings
from streams.topic_plan import changelog_topic
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.contract import assert_valid_dead_letter
from tests.faults.lives import empty_disk
from tests.integration.workers import (
    assert_undisturbed,
    caught_up,
    produce,
    read_to_end,
    traffic,
    worker,
)

#: What nobody means well with: nothing, no text, no JSON, what is endless, what is absurd.
POISON = (
    None,
    b"",
    b"\x00",
    b"\xff\xfe\x00",
    b"{",
    b"[" * 100_000,
    b'{"ts": 1e999}',
    b'{"type": "release", "id": 7}',
    b"9" * 900_000,
    msgspec.msgpack.encode([10**9, "x", None]),
    # Digests of partitions that there are none of, from the end of all time, of rubbish.
    *(
        struct.pack(">cIq?", b"\x00", partition, through, idle) + rest
        for partition in (0, 1, 2**32 - 1)
        for through in (-(2**63), 0, 2**63 - 1)
        for idle, rest in ((True, b""), (False, b"rubbish"))
    ),
)
KEYS: tuple[Any, ...] = (None, b"", b"\xff", b"copier-0")


async def poison(
    settings: Settings, topic: str, partitions: int, keys: tuple[Any, ...] = KEYS
) -> int:
    """Send all of it to each partition of a topic; return how much it was."""
    producer = AIOKafkaProducer(**client_arguments(settings.kafka), max_request_size=2 * 2**20)
    await producer.start()
    rows = [Row(key, value) for value in POISON for key in keys]
    try:
        for partition in range(partitions):
            for sent in await send_rows(producer, topic, partition, rows):
                await sent
    finally:
        await producer.stop()
    return len(rows) * partitions


async def test_what_is_poisoned_costs_nothing_that_is_good(kafka: Broker, tmp_path: Path) -> None:
    settings = settings_for(kafka, tmp_path)
    topics = settings.topics
    await create(settings)
    requests = traffic()
    poisoned = {
        topics.requests: topics.partitions,
        topics.requests_by_account: topics.partitions,
        topics.control: 1,
        topics.notices: topics.partitions,
        topics.link_activity: topics.partitions,
    }
    with worker(settings, tmp_path) as running:
        await produce(settings, requests[:1_500])
        await running.handled(1_000)
        for topic, partitions in poisoned.items():
            poisoned[topic] = await poison(settings, topic, partitions)
        await produce(settings, requests[1_500:])
        await running.handled(1_500)
        running.kill()
    empty_disk(tmp_path, random.Random())
    # Brokers take no message without a key for a topic that they compact.
    await poison(settings, changelog_topic(settings), topics.partitions, KEYS[1:])
    with worker(settings, tmp_path) as again:
        await caught_up(settings, len(requests), again)
        await again.stop()
    assert "Traceback" not in again.said
    await assert_undisturbed(settings)
    refused: dict[str, set[bytes | None]] = {topic: set() for topic in poisoned}
    for letter in await read_to_end(settings, topics.dead_letters):
        source = assert_valid_dead_letter(letter.value or b"")["source"]
        refused[source["topic"]].add(letter.key)
    # Some digests have nothing in them that could be wrong, or show it when they are due.
    assert len(refused.pop(topics.notices)) > poisoned.pop(topics.notices) // 2
    assert {topic: len(keys) for topic, keys in refused.items()} == poisoned
