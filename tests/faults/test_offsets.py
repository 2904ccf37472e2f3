"""Logs that jump: what was deleted before it was read is told, and gaps are no loss."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from models.request import Request
from streams.kafka import client_arguments, running
from streams.settings import Control, Policy, Settings
from streams.settings_reader import Secret
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.integration.test_steering import KEY, NIGHT_S, copying, pairwatch, people
from tests.integration.workers import (
    START_S,
    TIMEOUT_S,
    Record,
    assert_undisturbed,
    caught_up,
    produce,
    read,
    read_to_end,
    requests_in,
    rows_in_changelog,
    traffic,
    worker,
)

#: A worker that looks more often than every five minutes for partitions that were added.
_WATCHFUL = """
from streams import app, worker
from streams.commands import main

def create_app(settings):
    watchful = app.create_app(settings)
    watchful.conf.consumer_metadata_max_age_ms = 500
    return watchful

worker.create_app = create_app
main(["worker"])
"""


@pytest.fixture
def settings(kafka: Broker, tmp_path: Path) -> Settings:
    return settings_for(kafka, tmp_path)


def keyed(settings: Settings) -> Settings:
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=True)
    return msgspec.structs.replace(settings, topics=topics)


async def delete_before(settings: Settings, topic: str, offset: int) -> None:
    """Delete the first partition's records below an offset, as retention does."""
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(offset)})


def views(first: int, count: int) -> list[Request]:
    return [Request(START_S + n, f"r{n}", "ann", "view") for n in range(first, first + count)]


def lost(samples: dict[str, float], topic: str) -> float:
    return samples.get(f"pairwatch_lost_upstream_events_total {topic}", 0)


@pytest.mark.parametrize("is_keyed", [False, True], ids=["rekeyed", "keyed by account"])
async def test_what_was_deleted_while_a_worker_was_away_is_counted_and_told(
    settings: Settings, tmp_path: Path, is_keyed: bool
) -> None:
    settings = keyed(settings) if is_keyed else settings
    topic = settings.topics.requests
    await create(settings)
    with worker(settings, tmp_path) as first:
        await produce(settings, views(0, 20), partition=0)
        await first.handled(20)
        await first.stop()
    await produce(settings, views(20, 50), partition=0)
    await delete_before(settings, topic, 45)
    with worker(settings, tmp_path) as second:
        await second.handled(25)
        samples = await second.metrics()
        await second.stop()
    assert lost(samples, topic) == 25
    assert f"{topic}[0] lost offsets 20–44 before they were read" in second.said
    await assert_judged(settings, [*range(20), *range(45, 70)])


async def assert_judged(settings: Settings, numbers: list[int]) -> None:
    """Assert that nothing but what was deleted is missing from what the worker has passed on."""
    if settings.topics.keyed_by_account:
        return
    log = await read_to_end(settings, settings.topics.requests_by_account)
    assert ids_in(log) == [f"r{n}" for n in numbers]


async def test_a_first_start_after_retention_has_lost_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    await produce(settings, views(0, 20), partition=0)
    await delete_before(settings, settings.topics.requests, 15)
    with worker(settings, tmp_path) as running:
        await running.handled(5)
        samples = await running.metrics()
        await running.stop()
    assert lost(samples, settings.topics.requests) == 0
    assert "lost offsets" not in running.said


async def test_compaction_of_the_source_leaves_gaps_that_are_no_loss(
    settings: Settings, tmp_path: Path
) -> None:
    topic, accounts = settings.topics.requests, 5
    await create_compacted(settings, topic)
    await create(settings)
    with worker(settings, tmp_path) as first:
        await produce(settings, views(0, 20), partition=0)
        await first.handled(20)
        await first.stop()
    for n in range(20, 120):
        one = msgspec.structs.replace(*views(n, 1), account_id=f"a{n % accounts}")
        await produce(settings, [one], partition=0)
    before = await compacted(settings, topic, 60)
    with worker(settings, tmp_path) as second:
        passed_on = settings.topics.requests_by_account
        await read(settings, passed_on, lambda found: "r119" in ids_in(found))
        samples = await second.metrics()
        await second.stop()
    after = ids_in(await read_to_end(settings, topic))
    judged = ids_in(await read_to_end(settings, passed_on))
    first_ones = {f"r{n}" for n in range(20)}
    assert {*after} | first_ones <= {*judged} <= {*before} | first_ones
    assert len(judged) == len({*judged}) < 120
    assert lost(samples, topic) == 0


async def create_compacted(settings: Settings, topic: str) -> None:
    """Create a topic of which the broker keeps the last record of each account."""
    configs = {
        "cleanup.policy": "compact",
        "segment.ms": "200",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "200",
    }
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        await admin.create_topics(
            [NewTopic(topic, settings.topics.partitions, 1, topic_configs=configs)]
        )


async def compacted(settings: Settings, topic: str, records_max: int) -> list[str]:
    """Wait until compaction has left so few requests; return their ids."""
    deadline = time.monotonic() + TIMEOUT_S
    while len(found := ids_in(await read_to_end(settings, topic))) > records_max:
        assert time.monotonic() < deadline, found
    return found


def ids_in(records: list[Record]) -> list[str]:
    return [request.request_id for request in requests_in(records)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_packed_requests_are_read(settings: Settings, tmp_path: Path, codec: str) -> None:
    await create(settings)
    producer = AIOKafkaProducer(**client_arguments(settings.kafka), compression_type=codec)
    await producer.start()
    try:
        for request in views(0, 1_000):
            await producer.send(settings.topics.requests, msgspec.json.encode(request), partition=0)
    finally:
        await producer.stop()
    with worker(settings, tmp_path) as reader:
        await reader.handled(1_000)
        await reader.stop()
    await assert_judged(settings, [*range(1_000)])


async def test_transactions_leave_gaps_that_are_no_loss_and_aborted_ones_are_not_judged(
    settings: Settings, tmp_path: Path
) -> None:
    settings = keyed(settings)
    await create(settings)
    requests = traffic()
    aborted = [
        Request(START_S + n, f"a{n}", f"nobody-{n % 9}", "view", [f"rare-{n}"]) for n in range(300)
    ]
    with worker(settings, tmp_path) as first:
        await produce_in_transactions(settings, requests[:1_500])
        await first.handled(1_000)
        first.kill()
    with worker(settings, tmp_path) as second:
        await produce_in_transactions(settings, aborted, is_aborted=True)
        await produce_in_transactions(settings, requests[1_500:])
        await caught_up(settings, len(requests), second)
        samples = await second.metrics()
        await second.stop()
    rows = await rows_in_changelog(settings)
    accounts = {key[1:-1].decode() for row in rows.values() for key in row if key[:1] == b"a"}
    assert accounts == {request.account_id for request in requests}
    assert lost(samples, settings.topics.requests) == 0
    assert "Traceback" not in second.said
    log = await read_to_end(settings, settings.topics.requests)
    written, transactions = len(requests) + len(aborted), (len(requests) + len(aborted)) // 100
    assert log[-1].offset + 1 == written + transactions - 1  # the last one's is left
    await assert_undisturbed(settings)


async def test_what_is_said_after_a_restart_waits_for_no_request_behind_a_transaction(
    settings: Settings, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        keyed(settings),
        policy=Policy(mode="enforce", false_throttles_per_1000_account_days=20),
        control=Control(key_id="ops", key=Secret(KEY)),
    )
    await create(settings)
    requests = [*people(), *copying("copier", NIGHT_S, 400)]
    with worker(settings, tmp_path) as first:
        await produce_in_transactions(settings, requests)
        await first.handled(len(requests))
        await first.stop()
    with worker(settings, tmp_path) as second:
        await second.ready()
        await pairwatch(settings, "release", "account", "copier", "--why", "spoke to them")
        await read(
            settings,
            settings.topics.decisions_state,
            lambda found: [r.value for r in found if r.key == b"account:copier"][-1:] == [None],
        )
        await second.answers("/metrics", lambda _, text: lag_of(settings, text) == 0)
        await second.stop()


def lag_of(settings: Settings, metrics: str) -> float | None:
    """Return how many events of the requests' first partition wait, by what the worker says."""
    line = f'pairwatch_committed_lag_events{{partition="0",topic="{settings.topics.requests}"}} '
    _, found, rest = metrics.partition(line)
    return float(rest.split()[0]) if found else None


async def produce_in_transactions(
    settings: Settings, requests: list[Request], *, is_aborted: bool = False
) -> None:
    """Send requests a hundred to a transaction, each of which ends with a marker."""
    producer = AIOKafkaProducer(
        **client_arguments(settings.kafka), transactional_id=f"{settings.kafka.group}-shipper"
    )
    await producer.start()
    try:
        for start in range(0, len(requests), 100):
            await producer.begin_transaction()
            for request in requests[start : start + 100]:
                # One partition is enough, and keeps the test's accounts where they are.
                await producer.send(
                    settings.topics.requests,
                    msgspec.json.encode(request),
                    key=request.account_id.encode(),
                    partition=0,
                )
            await producer.flush()
            await (producer.abort_transaction if is_aborted else producer.commit_transaction)()
    finally:
        await producer.stop()


async def test_partitions_that_were_added_are_refused_with_what_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    settings = keyed(settings)
    await create(settings)
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        await admin.create_partitions({settings.topics.requests: NewPartitions(3)})
    with worker(settings, tmp_path) as refused:
        assert await refused.ended() == 2
    assert "it has 3 partitions, not 2; set topics.partitions = 3" in refused.said
    topics = msgspec.structs.replace(settings.topics, partitions=3)
    with worker(msgspec.structs.replace(settings, topics=topics), tmp_path) as refused:
        assert await refused.ended() == 2
    assert "changelog: it has 2 partitions, not 3" in refused.said
    assert "delete this topic" in refused.said


async def test_partitions_added_to_the_gateways_topic_are_read_from_their_beginning(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        with worker(settings, tmp_path, _WATCHFUL) as running_on:
            await produce(settings, views(0, 1_000))
            await running_on.handled(1_000)
            await admin.create_partitions({settings.topics.requests: NewPartitions(3)})
            await produce(settings, views(1_000, 1_000), partition=2)
            await produce(settings, views(2_000, 1_000))
            await caught_up(settings, 3_000, running_on)
            await running_on.stop()
    log = await read_to_end(settings, settings.topics.requests_by_account)
    assert sorted(ids_in(log)) == sorted(f"r{n}" for n in range(3_000))
