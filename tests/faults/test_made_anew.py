"""A topic that is deleted and made anew while it is read loses none of its new records."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka import client_arguments, running
from streams.settings import Settings
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.faults.test_offsets import ids_in, keyed, views
from tests.integration.test_operator_errors import complaint, make_anew
from tests.integration.workers import caught_up, produce, read_to_end, worker


@pytest.fixture
def settings(kafka: Broker, tmp_path: Path) -> Settings:
    settings = settings_for(kafka, tmp_path)
    # It sleeps for a while and is to remain what it was in its group.
    patient = msgspec.structs.replace(settings.kafka, session_timeout_s=60.0)
    return msgspec.structs.replace(settings, kafka=patient)


async def commit(settings: Settings, offset: int, topic_id: str) -> None:
    """Commit an offset of the requests' first partition for the group."""
    at = TopicPartition(settings.topics.requests, 0)
    consumer = AIOKafkaConsumer(
        **client_arguments(settings.kafka), group_id=settings.kafka.group, enable_auto_commit=False
    )
    async with running(consumer, settings.kafka):
        consumer.assign([at])
        await consumer.commit({at: (offset, topic_id)})


async def passed_on(settings: Settings) -> list[str]:
    return ids_in(await read_to_end(settings, settings.topics.requests_by_account))


async def test_a_worker_that_did_not_see_it_happen_ends_and_the_next_begins_at_the_beginning(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    with worker(settings, tmp_path) as first:
        await produce(settings, views(0, 20), partition=0)
        await caught_up(settings, 20, first)
        first.signal(signal.SIGSTOP)
        await make_anew(settings, settings.topics.requests)
        await produce(settings, views(100, 50), partition=0)
        first.signal(signal.SIGCONT)
        line = await complaint(first)
    assert f"{settings.topics.requests} was deleted and made anew while it was read" in line
    with worker(settings, tmp_path) as second:
        await caught_up(settings, 20 + 50, second)
        await second.stop()
    assert {f"r{n}" for n in range(100, 150)} <= {*await passed_on(settings)}


@pytest.mark.parametrize("events", [1, 50])
async def test_an_offset_of_the_former_topic_that_was_committed_late_counts_for_nothing(
    settings: Settings, tmp_path: Path, events: int
) -> None:
    await create(settings)
    await produce(settings, views(0, events), partition=0)
    await commit(settings, min(events, 20), "the former's")
    with worker(settings, tmp_path) as reading:
        await caught_up(settings, events, reading)
        await reading.stop()
    assert "taking it for a topic that was made anew" in reading.said
    assert await passed_on(settings) == [f"r{n}" for n in range(events)]


async def test_an_offset_that_was_committed_without_an_id_counts(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    await produce(settings, views(0, 50), partition=0)
    await commit(settings, 20, "")
    with worker(settings, tmp_path) as reading:
        await caught_up(settings, 30, reading)
        await reading.stop()
    assert await passed_on(settings) == [f"r{n}" for n in range(20, 50)]


async def test_accounts_whose_requests_were_another_topics_are_told_of(
    settings: Settings, tmp_path: Path
) -> None:
    settings = keyed(settings)
    await create(settings)
    await produce(settings, views(0, 50), partition=0)
    await commit(settings, 20, "the former's")
    with worker(settings, tmp_path) as refused:
        line = await complaint(refused)
    assert "was read up to offset 20 and goes on at 0; if the topic was made anew" in line
