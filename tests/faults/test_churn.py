"""Workers that join, leave, are killed and suspended, several at once; what comes out is the same.

PAIRWATCH_TEST_KILLS says how often, a fifth as many times: `make soak` takes dozens.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import msgspec
import pytest

from streams.settings import Settings
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.faults.flow import Flow
from tests.faults.lives import Life, Lives, damage_disk, empty_disk
from tests.integration.workers import assert_undisturbed, caught_up

STEPS = max(int(os.environ.get("PAIRWATCH_TEST_KILLS", "20")) // 5, 4)
_WORKERS_MAX = 3
_PARTITIONS = 3
#: Short, so that the group forms anew within seconds of a worker's end.
_SESSION_S = 3.0
#: Some rebalances are over by then and some are in the middle.
_STEP_S_MAX = 5.0


def settings_of_churn(broker: Broker, directory: Path, standby_replicas: int) -> Settings:
    settings = settings_for(broker, directory)
    return msgspec.structs.replace(
        settings,
        kafka=msgspec.structs.replace(
            settings.kafka, session_timeout_s=_SESSION_S, rebalance_timeout_s=6.0
        ),
        topics=msgspec.structs.replace(settings.topics, partitions=_PARTITIONS),
        state=msgspec.structs.replace(
            settings.state, checkpoint_interval_s=0.2, standby_replicas=standby_replicas
        ),
    )


class Crew:
    """Workers of one group, each in a place (a disk) of its own."""

    def __init__(self, lives: list[Lives], chance: random.Random) -> None:
        self._lives = lives
        self._chance = chance
        self.working: dict[int, Life] = {}

    @property
    def idle_places(self) -> list[int]:
        return [place for place in range(len(self._lives)) if place not in self.working]

    def join(self) -> None:
        """Let one more work, on the disk that was left in its place."""
        place = self._chance.choice(self.idle_places)
        self.working[place] = life = self._lives[place].prepare()
        life.begin()

    async def kill(self) -> None:
        """End one at once; now and then its disk suffers."""
        place = self._chance.choice(sorted(self.working))
        life = self.working.pop(place)
        life.worker.kill()
        if disk := self._chance.choice((None, None, empty_disk, damage_disk)):
            disk(self._lives[place].directory, self._chance)

    async def leave(self) -> None:
        """End one in order, as far as that goes at its start or in a rebalance."""
        life = self.working.pop(self._chance.choice(sorted(self.working)))
        life.worker.signal(signal.SIGTERM)
        assert await life.worker.ended() in (0, 1, -signal.SIGTERM), life.worker.said

    async def suspend(self) -> None:
        """Let one sleep through its session, and wake up to find others in its place."""
        worker = self.working[self._chance.choice(sorted(self.working))].worker
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(2 * _SESSION_S)  # that it lasts is what the test is about
        worker.signal(signal.SIGCONT)

    def bury(self) -> None:
        """Give up those that damage has ended; nothing else may end one."""
        for place, life in list(self.working.items()):
            if (status := life.worker.status) is not None:
                assert status == 2, life.worker.said
                assert "is damaged" in life.worker.said.splitlines()[-1], life.worker.said
                del self.working[place]


@pytest.mark.parametrize("standby_replicas", [0, 1])
async def test_a_group_that_never_rests_loses_nothing_and_doubles_nothing(
    kafka: Broker, tmp_path: Path, standby_replicas: int
) -> None:
    settings = settings_of_churn(kafka, tmp_path, standby_replicas)
    await create(settings)
    chance = random.Random("churn")
    places = [Lives(settings, tmp_path / str(n)) for n in range(_WORKERS_MAX)]
    crew = Crew(places, chance)
    try:
        async with Flow(settings) as flow:
            for _ in range(2):
                crew.join()
            for _ in range(STEPS):
                await asyncio.sleep(chance.uniform(0.0, _STEP_S_MAX))
                crew.bury()
                crowd = len(crew.working)
                steps = [crew.kill, crew.leave, crew.suspend] if crowd else []
                step = chance.choice(steps) if steps else None
                if step is not None:
                    await step()
                while len(crew.working) < chance.randint(1, _WORKERS_MAX):
                    crew.join()
        await finish(settings, crew, flow.sent)
    finally:
        for place in places:
            place.__exit__()
    await assert_undisturbed(settings)


async def finish(settings: Settings, crew: Crew, events: int) -> None:
    """Let the crew do all the work there is, with others in the place of those that damage ends."""
    done = asyncio.create_task(
        caught_up(settings, events, *(life.worker for life in crew.working.values()))
    )
    while not done.done():
        await asyncio.wait({done}, timeout=0.5)
        crew.bury()
        if not crew.working:
            crew.join()
    done.result()
    for life in crew.working.values():
        await life.worker.stop()
        assert "Traceback" not in life.worker.said
