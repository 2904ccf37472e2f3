"""Whatever ends a worker in mid-stream, the decisions and the state come out the same."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from models.request import Request
from streams.kafka import client_arguments, running
from streams.settings import Settings
from streams.topic_plan import changelog_topic
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.integration.workers import (
    assert_undisturbed,
    caught_up,
    produce,
    traffic,
    until,
    worker,
)

#: A worker with a bug that one request brings out.
_WITH_A_BUG = """
from models.detector import Detector
from streams.commands import main

observe = Detector.observe

def observe_badly(self, requests, offsets):
    seen = observe(self, requests, offsets)
    if any(request.request_id == "r2000" for request in requests):
        raise ZeroDivisionError("a bug")
    return seen

Detector.observe = observe_badly
main(["worker"])
"""
#: A worker that gives Kafka little time.
_IMPATIENT = """
from streams import app
from streams.commands import main

app.PRODUCE_TIMEOUT_S = 2.0
main(["worker"])
"""
#: A worker whose polls wait until there is something.
_LONG_POLLS = """
from streams import transport
from streams.commands import main

transport._POLL_S = 60.0
main(["worker"])
"""
#: A worker as `nohup` starts it.
_NOHUP = """
import signal
from streams.commands import main

signal.signal(signal.SIGHUP, signal.SIG_IGN)
main(["worker"])
"""
#: A worker whose checkpoints never end.
_STUCK = """
import asyncio
from streams.checkpoint import Checkpoints
from streams.commands import main

async def checkpoint(self, tps):
    await asyncio.Event().wait()

Checkpoints.checkpoint = checkpoint
main(["worker"])
"""

#: Is asked to stop while it deals out its group's partitions, and told by Faust to close then.
_STOPPED_AS_IT_JOINS = """
import asyncio, os, signal
from aiokafka.consumer.group_coordinator import GroupCoordinator
from streams.app import App
from streams.commands import main

started, assign = App.start, GroupCoordinator._perform_assignment

async def start(self):
    GroupCoordinator.app = self
    await started(self)

async def stop_meanwhile(self, response):
    os.kill(os.getpid(), signal.SIGTERM)
    await self._closing
    self.app._on_rebalance_when_stopped()
    await asyncio.sleep(0.2)  # Faust would do it in another thread
    self._client.force_metadata_update()
    return await assign(self, response)

App.start = start
GroupCoordinator._perform_assignment = stop_meanwhile
main(["worker"])
"""


def often(settings: Settings) -> Settings:
    """Make several checkpoints while the test's traffic passes."""
    state = msgspec.structs.replace(settings.state, checkpoint_interval_s=0.3)
    return msgspec.structs.replace(settings, state=state)


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    return often(settings_for(broker, tmp_path))


@contextlib.asynccontextmanager
async def flowing(
    settings: Settings, requests: list[Request], pause_s: float = 0.02
) -> AsyncIterator[None]:
    """Send requests for some seconds, whether there is a worker or not."""

    async def flow() -> None:
        for start in range(0, len(requests), 100):
            await produce(settings, requests[start : start + 100])
            await asyncio.sleep(pause_s)  # a pace, nothing that is waited for

    task = asyncio.create_task(flow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_being_killed_in_mid_stream_changes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    await assert_harmless(signal.SIGKILL, -signal.SIGKILL, settings, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_being_stopped_in_mid_stream_changes_nothing(
    settings: Settings, tmp_path: Path, kafka: Broker, number: signal.Signals
) -> None:
    await assert_harmless(number, 0, settings, tmp_path)


async def assert_harmless(
    number: signal.Signals, status: int, settings: Settings, directory: Path
) -> None:
    await create(settings)
    requests = traffic()
    async with flowing(settings, requests):
        with worker(settings, directory) as first:
            await first.handled(1_000)
            first.signal(number)
            assert await first.ended() == status
        with worker(settings, directory) as second:
            await second.ready()  # before that it has nothing to end with
            await caught_up(settings, len(requests), second)
            await second.stop()
    await assert_undisturbed(settings)


async def test_state_comes_back_from_the_changelog_alone(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic()
    async with flowing(settings, requests):
        for _ in range(2):
            with worker(settings, tmp_path) as running:
                await running.handled(1_000)
                running.kill()
            shutil.rmtree(tmp_path / "state")
        with worker(settings, tmp_path) as last:
            await caught_up(settings, len(requests), last)
            await last.stop()
    await assert_undisturbed(settings)


async def test_a_changelog_that_ends_with_a_gap_is_recovered_to_its_end(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    async with (
        running(
            AIOKafkaProducer(
                **client_arguments(settings.kafka), transactional_id=settings.kafka.group
            ),
            settings.kafka,
        ) as producer,
        producer.transaction(),
    ):  # whose end takes an offset and is no record
        for partition in range(settings.topics.partitions):
            await producer.send(
                changelog_topic(settings), key=b"x", value=b"x", partition=partition
            )
    with worker(settings, tmp_path) as recovered:
        await recovered.ready()
        await recovered.stop()


async def test_workers_share_the_partitions_and_take_over_from_one_another(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic(6_000)
    with (
        worker(settings, tmp_path / "a") as a,
        worker(settings, tmp_path / "b") as b,
    ):
        for each in (a, b):
            await each.has_partitions(1)
        async with flowing(settings, requests, pause_s=0.2):
            await a.handled(100)
            await b.handled(100)
            await a.stop()
            await b.has_partitions(2)
            with worker(settings, tmp_path / "a") as again:
                await again.has_partitions(1)
                b.kill()
                await caught_up(settings, len(requests), again)
                await again.stop()
    await assert_undisturbed(settings)


async def test_a_poll_that_outlasts_a_rebalance_takes_nothing_with_it(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic()
    with worker(settings, tmp_path / "a", _LONG_POLLS) as a:
        await a.ready()
        with worker(settings, tmp_path / "b") as b:
            await a.has_partitions(1)
            await until(lambda: a.said.count("state recovered") == 2, a)
            await b.ready()
            await produce(settings, requests)
            await caught_up(settings, len(requests), a, b)
            await a.stop()
            await b.stop()
    await assert_undisturbed(settings)


async def test_a_worker_that_was_suspended_does_no_harm_when_it_wakes_up(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic(6_000)
    with worker(settings, tmp_path / "a") as a:
        await a.ready()
        async with flowing(settings, requests):
            await a.handled(1_000)
            a.signal(signal.SIGSTOP)
            with worker(settings, tmp_path / "b") as b:
                # It joins once the other's session is over.
                await b.handled(2_000)
                a.signal(signal.SIGCONT)
                await a.has_partitions(1)
                await caught_up(settings, len(requests), a, b)
                await a.stop()
                await b.stop()
    await assert_undisturbed(settings)


async def test_a_bug_ends_the_worker_and_nothing_of_its_batch_is_committed(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic()
    await produce(settings, requests)
    with worker(settings, tmp_path, _WITH_A_BUG) as broken:
        assert await broken.ended() == 1
        assert "judge failed; nothing was committed" in broken.said
        assert f"{settings.topics.accounts_source}[" in broken.said
        assert broken.said.count("Traceback") == broken.said.count("ZeroDivisionError: a bug") == 1
        assert broken.said.endswith(
            "stopped by ZeroDivisionError('a bug'); what was not committed is done again\n"
        )
    with worker(settings, tmp_path) as mended:
        await caught_up(settings, len(requests), mended)
        await mended.stop()
    await assert_undisturbed(settings)


async def test_decisions_that_kafka_does_not_take_are_made_again(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    requests = traffic()
    with worker(settings, tmp_path, _IMPATIENT) as first:
        await first.ready()
        async with running(
            AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
        ) as admin:
            await admin.delete_topics([settings.topics.decisions])
        await produce(settings, requests)
        assert await first.ended() == 1
        assert "Kafka did not take what came of them" in first.said
        assert "Traceback" not in first.said
    await create(settings)
    with worker(settings, tmp_path) as second:
        await caught_up(settings, len(requests), second)
        await second.stop()
    await assert_undisturbed(settings)


async def test_a_worker_under_nohup_outlasts_its_terminal(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    with worker(settings, tmp_path, _NOHUP) as lasting:
        await lasting.ready()
        lasting.signal(signal.SIGHUP)
        await produce(settings, traffic(500))
        await lasting.handled(500)
        await lasting.stop()
    assert "SIGHUP" not in lasting.said


async def test_a_worker_that_is_stopped_as_it_joins_ends_by_itself(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    with worker(settings, tmp_path, _STOPPED_AS_IT_JOINS) as joining:
        assert await joining.ended() == 0, joining.said
    assert "stopped; all that was judged is durable" in joining.said


async def test_a_second_signal_ends_a_worker_that_can_not_end(
    settings: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings)
    with worker(settings, tmp_path, _STUCK) as stuck:
        await stuck.ready()
        stuck.signal(signal.SIGTERM)
        await until(lambda: "ending with a checkpoint" in stuck.said, stuck)
        stuck.signal(signal.SIGTERM)
        assert await stuck.ended() == -signal.SIGTERM
