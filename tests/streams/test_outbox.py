"""What is sent arrives once, in order, and its acknowledgement says so."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.kafka import client_arguments
from streams.outbox import Outbox
from streams.settings import Settings
from streams.topics import create
from tests.integration.workers import read

COUNT, LANES = 3_000, 12


async def outbox_and_producer(settings: Settings) -> tuple[Outbox, AIOKafkaProducer]:
    await create(settings)
    producer = AIOKafkaProducer(**client_arguments(settings.kafka))
    await producer.start()
    # All that it asks of Faust is the producer.
    return Outbox(SimpleNamespace(producer=SimpleNamespace(_ensure_producer=lambda: producer))), (
        producer
    )


async def test_what_many_send_together_arrives_once_and_in_the_order_of_each(
    settings_for_broker: Settings,
) -> None:
    topic = settings_for_broker.topics.link_activity
    outbox, producer = await outbox_and_producer(settings_for_broker)

    async def lane(number: int) -> None:
        acknowledged = []
        for n in range(number, COUNT, LANES):
            key = f"link-{n % (5 * LANES)}".encode()
            acknowledged.append(await outbox.send_together(topic, key, b"%d" % n))
            if n % 7 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*acknowledged)

    try:
        await asyncio.gather(*(lane(number) for number in range(LANES)))
    finally:
        await producer.stop()
    records = await read(settings_for_broker, topic, lambda records: len(records) >= COUNT)
    by_key: dict[bytes, list[int]] = defaultdict(list)
    for record in records:
        by_key[record.key or b""].append(int(record.value or b""))
    assert sorted(n for some in by_key.values() for n in some) == list(range(COUNT))
    assert all(some == sorted(some) for some in by_key.values())


async def test_who_sent_what_the_producer_did_not_take_is_told(
    settings_for_broker: Settings,
) -> None:
    topic = settings_for_broker.topics.link_activity
    outbox, producer = await outbox_and_producer(settings_for_broker)
    await outbox.partitions(topic)
    await producer.stop()
    sent = [await outbox.send_together(topic, b"link", b"%d" % n) for n in range(3)]
    with pytest.raises(KafkaError):
        await asyncio.gather(*sent)
