"""Files hold the same lines however they are packed, and Kafka gets them in order."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest
import zstandard
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.request import Request
from streams.errors import OperatorError
from streams.settings import Kafka, Settings
from streams.simulate import World, simulate
from streams.simulate.publish import publish
from streams.simulate.write import opened, write_lines
from streams.topics import create
from tests.brokers.choice import Broker, settings_for


def tiny() -> World:
    return simulate("calm", seed=5, days=0.2, accounts=100, catalogue_size=5_000)


def write(path: Path) -> bytes:
    with opened(str(path)) as out:
        write_lines(tiny().events(), out)
    return path.read_bytes()


def test_lines_are_the_same_plain_and_packed(tmp_path: Path) -> None:
    plain = write(tmp_path / "events.jsonl")
    lines = [msgspec.json.decode(line, type=Request) for line in plain.splitlines()]
    assert lines == list(tiny().events())
    assert gzip.decompress(write(tmp_path / "events.jsonl.gz")) == plain
    packed = write(tmp_path / "events.jsonl.zst")
    assert zstandard.ZstdDecompressor().stream_reader(packed).read() == plain


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_the_same_traffic_is_the_same_file(tmp_path: Path, suffix: str) -> None:
    assert write(tmp_path / f"a.{suffix}") == write(tmp_path / f"b.{suffix}")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "events.jsonl"
    with pytest.raises(OperatorError, match="nowhere"), opened(str(path)):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(OperatorError, match="/dev/full: No space left"), opened("/dev/full") as out:
        write_lines(tiny().events(), out)


async def test_kafka_receives_every_event_in_order_under_its_request_id(
    settings_for_broker: Settings,
) -> None:
    topic, brokers = settings_for_broker.topics.requests, settings_for_broker.kafka.brokers
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    sent = list(tiny().events())
    assert await publish(iter(sent), settings_for_broker, rate=None) == len(sent) > 300
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        received = [await consumer.getone() for _ in sent]
    finally:
        await consumer.stop()
    assert [msgspec.json.decode(message.value, type=Request) for message in received] == sent
    assert [message.key for message in received] == [event.request_id.encode() for event in sent]


async def test_a_rate_spreads_the_events_evenly_over_the_time_they_take(
    settings_for_broker: Settings,
) -> None:
    clock_s = [1_000.0]

    async def sleep(wait_s: float) -> None:
        clock_s[0] += wait_s

    await create(settings_for_broker)
    sent = list(tiny().events())[:300]
    await publish(sent, settings_for_broker, rate=60.0, now_s=lambda: clock_s[0], sleep=sleep)
    assert clock_s[0] == pytest.approx(1_000.0 + 300 / 60.0)


async def test_a_missing_broker_is_one_clear_error() -> None:
    settings = Settings(kafka=Kafka(brokers="127.0.0.1:9"))
    with pytest.raises(OperatorError, match=r"127\.0\.0\.1:9"):
        await publish(iter([]), settings, rate=None)


async def test_a_missing_topic_is_named_before_anything_is_sent(
    kafka: Broker, tmp_path: Path
) -> None:
    settings = settings_for(kafka, tmp_path)
    with pytest.raises(OperatorError, match=rf"{settings.topics.requests}.*pairwatch topics"):
        await publish(tiny().events(), settings, rate=None)
