"""Workers that keep copies of each other's state: whoever takes over reads next to nothing back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streams.settings import Settings
from streams.topic_plan import changelog_topic
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.faults.flow import Flow
from tests.integration.workers import (
    Worker,
    assert_undisturbed,
    caught_up,
    read_to_end,
    worker,
)

#: Short, so that the group forms anew within seconds of a worker's end.
_SESSION_S = 3.0
_PARTITIONS = 4
#: Of what has been written, the part that may be read back: that of the last seconds.
_READ_BACK_MAX = 0.25


@pytest.fixture
async def settings(kafka: Broker, tmp_path: Path) -> Settings:
    settings = settings_for(kafka, tmp_path)
    settings = msgspec.structs.replace(
        settings,
        kafka=msgspec.structs.replace(
            settings.kafka, session_timeout_s=_SESSION_S, rebalance_timeout_s=6.0
        ),
        topics=msgspec.structs.replace(settings.topics, partitions=_PARTITIONS),
        state=msgspec.structs.replace(
            settings.state, checkpoint_interval_s=0.2, standby_replicas=1
        ),
    )
    await create(settings)
    return settings


async def read_back(by: Worker) -> float:
    """Return how many records of state a worker has read back so far."""
    return (await by.metrics())["pairwatch_recovered_records_total"]


async def written(settings: Settings) -> int:
    """Return how many records of state there are."""
    return len(await read_to_end(settings, changelog_topic(settings)))


async def test_whoever_takes_over_has_the_state_and_who_comes_back_gets_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    half = _PARTITIONS // 2
    with worker(settings, tmp_path / "a") as a, worker(settings, tmp_path / "b") as b:
        async with Flow(settings, at_least=10_000) as flow:
            for each in (a, b):
                await each.has_partitions(half)
                await each.ready()
            await a.handled(2_000)
            known = await written(settings)
            assert known > 1_000, "enough to tell a copy from none"
            # All of it is in the copy, too, once that has caught up with what came since.
            await b.answers("/metrics", lambda _, text: 0 <= _lag(text) < known / 20)
            before = await read_back(b)
            a.kill()
            await b.has_partitions(_PARTITIONS)
            await b.ready()
            known = await written(settings)
            assert await read_back(b) - before < _READ_BACK_MAX * known / 2
            with worker(settings, tmp_path / "a") as again:
                for each in (again, b):
                    await each.has_partitions(half)
                    await each.ready()
                known = await written(settings)
                assert await read_back(again) < known / 2
        await caught_up(settings, flow.sent, b)
        await b.stop()
    await assert_undisturbed(settings)


def _lag(text: str) -> float:
    """Return by how many records copies lag, -1 if there are none."""
    (lag,) = (
        line.split()[1]
        for line in text.splitlines()
        if line.startswith("pairwatch_standby_lag_records ")
    )
    return float(lag)
