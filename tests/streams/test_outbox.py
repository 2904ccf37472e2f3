"""What is sent arrives once, in order, and its acknowledgement says so."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.kafka import client_arguments
from streams.outbox import TOGETHER_BYTES_MAX, Outbox, Row
from streams.partitions import partition_of
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
            acknowledged += await outbox.send_together(topic, [Row(key, b"%d" % n)])
            if n % 7 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*acknowledged)

    try:
        await asyncio.gather(*(lane(number) for number in range(LANES)))
    finally:
        await producer.stop()
    records = await read(settings_for_broker, topic, lambda records: len(records) >= COUNT)
    by_key: dict[bytes, list[int]] = defaultdict(list)
    partitions = settings_for_broker.topics.partitions
    for record in records:
        by_key[record.key or b""].append(int(record.value or b""))
        assert record.partition == partition_of(record.key or b"", partitions)
    assert sorted(n for some in by_key.values() for n in some) == list(range(COUNT))
    assert all(some == sorted(some) for some in by_key.values())


async def test_who_sent_what_the_producer_did_not_take_is_told(
    settings_for_broker: Settings,
) -> None:
    topic = settings_for_broker.topics.link_activity
    outbox, producer = await outbox_and_producer(settings_for_broker)
    await outbox.partitions(topic)
    await producer.stop()
    rows = [Row(b"link", b"%d" % n) for n in range(3)]
    with pytest.raises(KafkaError):
        await asyncio.gather(*await outbox.send_together(topic, rows))


class Slow:
    """A producer whose broker answers as often as it is told to."""

    def __init__(self, answers: int) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Semaphore(answers)
        #: Records of each batch.
        self.taken: list[int] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(2 * TOGETHER_BYTES_MAX, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> asyncio.Future[None]:
        self.taken.append(batch.record_count())
        self.asked.set()
        await self.answers.acquire()
        done: asyncio.Future[None] = asyncio.Future()
        done.set_result(None)
        return done


def outbox_of(producer: Slow) -> Outbox:
    return Outbox(SimpleNamespace(producer=SimpleNamespace(_ensure_producer=lambda: producer)))


async def test_who_sends_faster_than_the_broker_takes_waits() -> None:
    producer = Slow(answers=0)
    outbox = outbox_of(producer)
    first = await outbox.send_together("topic", [Row(b"a", b"first")])
    await producer.asked.wait()
    full = await outbox.send_together("topic", [Row(b"a", bytes(TOGETHER_BYTES_MAX))])
    late = asyncio.create_task(outbox.send_together("topic", [Row(b"a", b"late")]))
    await asyncio.wait(first, timeout=0)
    assert not late.done()
    for _ in range(3):
        producer.answers.release()
    await asyncio.gather(*first, *full, *await late)
    assert producer.taken == [1, 1, 1]


@pytest.mark.parametrize(("linger_s", "batches"), [(0.0, 5), (0.2, 1)])
async def test_what_may_wait_leaves_with_what_comes_meanwhile(
    linger_s: float, batches: int
) -> None:
    producer = Slow(answers=5)
    outbox = outbox_of(producer)
    sent: list[asyncio.Future[None]] = []
    for n in range(5):
        sent += await outbox.send_together("topic", [Row(b"a", b"%d" % n)], linger_s)
        for _ in range(9):
            await asyncio.sleep(0)  # long enough for what leaves at once
    await asyncio.gather(*sent)
    assert len(producer.taken) == batches
    assert sum(producer.taken) == 5
