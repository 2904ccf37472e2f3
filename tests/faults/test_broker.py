"""Brokers that are restarted, silent, slow, full or dead: workers wait for them and go on.

PAIRWATCH_TEST_OUTAGE_S says how long a broker is silent: `make soak` makes it a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from streams.settings import Settings
from streams.topics import create
from tests.brokers.choice import settings_for
from tests.brokers.external import ExternalBroker
from tests.brokers.kafka import KafkaCluster, KafkaNode
from tests.faults.flow import Flow
from tests.faults.processes import fill_disk, resident_bytes
from tests.integration.workers import Worker, assert_undisturbed, caught_up, until, worker

#: Longer than a session, so that the group forms anew afterwards.
OUTAGE_S = float(os.environ.get("PAIRWATCH_TEST_OUTAGE_S", "12"))
#: While it waits a worker has nothing to keep but what it has read already.
_GROWTH_BYTES_MAX = 100 * 2**20


@pytest.fixture
def node(kafka: KafkaCluster | ExternalBroker) -> KafkaNode:
    if isinstance(kafka, ExternalBroker):
        pytest.skip("brokers named by PAIRWATCH_TEST_BROKERS are not ours to stop")
    return kafka.nodes[0]


@pytest.fixture
async def settings(kafka: KafkaCluster, tmp_path: Path) -> Settings:
    settings = settings_for(kafka, tmp_path)
    await create(settings)
    return settings


@contextlib.asynccontextmanager
async def working(settings: Settings, directory: Path) -> AsyncIterator[Worker]:
    """Run a worker in a stream of events; at the end it has done them all, as if undisturbed."""
    with worker(settings, directory) as running:
        async with Flow(settings) as flow:
            await running.handled(1_000)
            yield running
        await caught_up(settings, flow.sent, running)
        await running.stop()
    assert "Traceback" not in running.said
    await assert_undisturbed(settings)


async def test_a_first_start_on_a_new_cluster_complains_of_nothing(
    tmp_path: Path, node: KafkaNode
) -> None:
    cluster = KafkaCluster(tmp_path / "new")
    try:
        cluster.start()
        settings = settings_for(cluster, tmp_path)
        await create(settings)
        with worker(settings, tmp_path) as first:
            await first.ready()
            await first.stop()
    finally:
        cluster.kill()
    assert not re.search("WARNING|ERROR|CRITICAL", first.said), first.said


async def test_a_broker_that_is_restarted(
    settings: Settings, tmp_path: Path, node: KafkaNode
) -> None:
    async with working(settings, tmp_path):
        await asyncio.to_thread(node.stop)
        node.start()


async def test_a_broker_that_is_killed(settings: Settings, tmp_path: Path, node: KafkaNode) -> None:
    async with working(settings, tmp_path):
        node.kill()
        node.start()


async def test_a_broker_that_is_silent(settings: Settings, tmp_path: Path, node: KafkaNode) -> None:
    async with working(settings, tmp_path) as running:
        before = resident_bytes(running)
        node.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(OUTAGE_S)  # that it lasts is what the test is about
            # Not when it is over: somebody looks for the reason while it lasts.
            assert re.search("WARNING the broker .* has not answered for 5 s", running.said)
            assert resident_bytes(running) < before + _GROWTH_BYTES_MAX
        finally:
            node.signal(signal.SIGCONT)
        await until(lambda: "the broker answers again" in running.said, running)


async def test_a_broker_that_is_slow(settings: Settings, tmp_path: Path, node: KafkaNode) -> None:
    async def slow_down() -> None:
        while True:  # silent nine tenths of the time
            node.signal(signal.SIGSTOP)
            await asyncio.sleep(0.18)
            node.signal(signal.SIGCONT)
            await asyncio.sleep(0.02)

    async with working(settings, tmp_path):
        slowing = asyncio.create_task(slow_down())
        try:
            await asyncio.sleep(OUTAGE_S)  # that it lasts is what the test is about
        finally:
            slowing.cancel()
            await asyncio.wait({slowing})
            node.signal(signal.SIGCONT)


async def test_a_stop_while_the_broker_is_silent(
    settings: Settings, tmp_path: Path, node: KafkaNode
) -> None:
    with worker(settings, tmp_path) as first:
        async with Flow(settings) as flow:
            await first.handled(1_000)
            node.signal(signal.SIGSTOP)
            try:
                first.signal(signal.SIGTERM)
                assert await first.ended() == 1
            finally:
                node.signal(signal.SIGCONT)
            assert "the last checkpoint failed: TimeoutError()" in first.said
        with worker(settings, tmp_path) as second:
            await second.ready()
            await caught_up(settings, flow.sent, second)
            await second.stop()
    await assert_undisturbed(settings)


async def test_leaders_that_die_one_after_the_other(
    kafka_cluster: KafkaCluster, tmp_path: Path
) -> None:
    settings = settings_for(kafka_cluster, tmp_path)
    reports = await create(settings)
    assert all(report.replication == 3 for report in reports)  # then two must have all
    async with working(settings, tmp_path) as running:
        for node in kafka_cluster.nodes:
            node.kill()
            await moves_on(running)
            node.start()


async def test_a_leader_whose_disk_is_full(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    settings = settings_for(kafka_cluster, tmp_path)
    await create(settings)
    async with working(settings, tmp_path) as running:
        node = kafka_cluster.nodes[0]
        node.fill_disk()
        await until(lambda: not node.is_running, running)
        await moves_on(running)
        node.start()


async def moves_on(running: Worker) -> None:
    """Wait until a worker has judged more than it had."""
    before = judged((await running.get("/metrics"))[1])
    await running.answers("/metrics", lambda _, text: judged(text) >= before + 500)


def judged(text: str) -> float:
    found = re.search(r'pairwatch_events_total\{outcome="judged"\} (\S+)', text)
    return float(found[1]) if found else 0.0


async def test_a_worker_whose_own_disk_is_full(
    settings: Settings, tmp_path: Path, node: KafkaNode
) -> None:
    with worker(settings, tmp_path) as full:
        async with Flow(settings) as flow:
            await full.handled(1_000)
            fill_disk(full)
            assert await full.ended() in (1, 2)  # what it says of it finds no room in its log
        with worker(settings, tmp_path) as again:
            await caught_up(settings, flow.sent, again)
            await again.stop()
    await assert_undisturbed(settings)


async def test_a_rolling_restart_of_workers_with_names_costs_no_rebalance(
    settings: Settings, tmp_path: Path
) -> None:
    def named(name: str) -> Settings:
        kafka = msgspec.structs.replace(settings.kafka, instance_id=name, session_timeout_s=30.0)
        return msgspec.structs.replace(settings, kafka=kafka)

    with worker(named("a"), tmp_path / "a") as a, worker(named("b"), tmp_path / "b") as b:
        for each in (a, b):
            await each.has_partitions(1)
            await each.ready()
        rebalances = (await a.metrics())["pairwatch_rebalances_total"]
        async with Flow(settings) as flow:
            await b.handled(500)
            await b.stop()
            with worker(named("b"), tmp_path / "b") as again:
                await again.handled(1_000)
                assert (await a.metrics())["pairwatch_rebalances_total"] == rebalances
                await moves_on(a)
                await again.stop()
        with worker(named("b"), tmp_path / "b") as last:
            await caught_up(settings, flow.sent, a, last)
            await last.stop()
        await a.stop()
    await assert_undisturbed(settings)
