"""Workers are killed again and again, on disks that don't survive; what comes out is the same.

PAIRWATCH_TEST_KILLS says how many are killed: `make soak` takes hundreds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import msgspec
import pytest

from streams import faults
from streams.settings import Settings
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.faults.flow import Flow
from tests.faults.lives import Life, Lives, damage_disk, empty_disk, rows_on_disk
from tests.integration.workers import (
    Worker,
    assert_undisturbed,
    caught_up,
    rows_in_changelog,
)

KILLS = int(os.environ.get("PAIRWATCH_TEST_KILLS", "20"))
#: Half of the workers end where it hurts most, the others wherever they happen to be.
_AT_A_POINT = 0.5
#: From its start a worker needs about two seconds to be in the middle of its work.
_RANDOM_LIFE_S_MAX = 4.0


def settings_of_lives(broker: Broker, directory: Path, is_keyed: bool) -> Settings:
    settings = settings_for(broker, directory)
    return msgspec.structs.replace(
        settings,
        # Under its own name a worker that comes back has its partitions at once.
        kafka=msgspec.structs.replace(settings.kafka, instance_id="the-one"),
        topics=msgspec.structs.replace(settings.topics, keyed_by_account=is_keyed),
        state=msgspec.structs.replace(settings.state, checkpoint_interval_s=0.1),
    )


@pytest.mark.parametrize("is_keyed", [False, True], ids=["rekeyed", "keyed by account"])
async def test_killed_workers_lose_nothing_and_double_nothing(
    kafka: Broker, tmp_path: Path, is_keyed: bool
) -> None:
    settings = settings_of_lives(kafka, tmp_path, is_keyed)
    await create(settings)
    chance = random.Random(f"kills {is_keyed}")
    kills = (KILLS + 1) // 2
    points = [point for point in faults.POINTS if not (is_keyed and point == "forwarded")]
    chance.shuffle(points)
    with Lives(settings, tmp_path) as lives:
        async with Flow(settings) as flow:
            life = prepare(lives, chance, points)
            for left in reversed(range(kills)):
                following = prepare(lives, chance, points) if left else lives.prepare()
                worker = life.begin()
                if life.point is None:
                    await asyncio.sleep(chance.uniform(0.0, _RANDOM_LIFE_S_MAX))
                    worker.kill()
                status = await worker.ended()
                assert status == -signal.SIGKILL or has_set_aside(worker, status), worker.said
                if disk := chance.choice((None, None, None, empty_disk, damage_disk)):
                    disk(tmp_path, chance)
                life = following
        await carry_through(settings, lives, life, flow.sent)
    await assert_undisturbed(settings)
    await assert_disk_is_whole(settings, tmp_path)


def prepare(lives: Lives, chance: random.Random, points: list[faults.Point]) -> Life:
    """Start a worker, and choose how it is to end."""
    if chance.random() >= _AT_A_POINT:
        return lives.prepare()
    points.append(point := points.pop(0))  # each in its turn
    return lives.prepare(point, chance.randint(1, 3))


def has_set_aside(worker: Worker, status: int) -> bool:
    """Whether a worker has ended because it came upon damage in the middle of its work."""
    last = worker.said.splitlines()[-1]
    return status == 2 and "is damaged" in last and "start again" in last


async def carry_through(settings: Settings, lives: Lives, life: Life, events: int) -> None:
    """Let workers do all the work there is; damage that shows late ends one for each partition."""
    for _ in range(settings.topics.partitions + 1):
        worker = life.begin()
        # All may be done already; but a signal must not come before there is one to hear it.
        await worker.answers("/live", lambda status, _: status == 200)
        done = asyncio.create_task(caught_up(settings, events, worker))
        ended = asyncio.create_task(worker.ended())
        await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if done.done():
            done.result()
            await worker.stop()
            assert "Traceback" not in worker.said
            return
        done.cancel()
        assert has_set_aside(worker, ended.result()), worker.said
        life = lives.prepare()
    raise AssertionError(worker.said)


async def assert_disk_is_whole(settings: Settings, directory: Path) -> None:
    """Assert that the tables hold what their changelog says, to the byte."""
    assert rows_on_disk(directory) == await rows_in_changelog(settings)
