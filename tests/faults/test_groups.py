"""Kills while groups are reviewed: reviews follow from their log, no revision is given twice.

When a verdict on a member reaches its partition is a matter of timing, so decisions on members are
not those of another run; but whatever was once said stays said, and once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from models.decision import Decision
from models.groups import Groups
from models.link_activity import LinkActivity
from models.request import Request
from streams import faults
from streams.settings import Policy, Settings
from streams.topics import create
from tests.brokers.choice import Broker
from tests.faults.flow import Flow
from tests.faults.lives import Lives, empty_disk
from tests.faults.test_kills import KILLS, carry_through, settings_of_lives
from tests.integration.test_steering import NIGHT_S, copying, people
from tests.integration.workers import decisions_in, read_to_end

_MEMBERS, _PAIRS = 6, 150
_LIFE_S_MAX = 4.0


def linked() -> list[Request]:
    """Return people, and a group that divides the catalogue and shares a card."""
    links = {"payment": "fp_9"}
    group = [one for n in range(_MEMBERS) for one in copying(f"c{n}", NIGHT_S, _PAIRS, links=links)]
    return [*people(), *sorted(group, key=lambda one: one.ts)]


def endless(requests: list[Request]) -> Iterator[Request]:
    """Yield requests, and people's after them for as long as it takes."""
    yield from requests
    for n in itertools.count():
        ts = NIGHT_S + _PAIRS + n * 0.05
        yield Request(ts, f"later-{n}", f"person-{n % 60}", "view", [f"popular-{n % 7}"])


async def test_what_was_said_of_groups_and_members_stays_said_and_once(
    kafka: Broker, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        settings_of_lives(kafka, tmp_path, is_keyed=False),
        policy=Policy(mode="enforce", false_throttles_per_1000_account_days=20.0),
        scenarios={},
    )
    await create(settings)
    chance = random.Random("groups")
    requests = linked()
    with Lives(settings, tmp_path) as lives:
        async with Flow(settings, endless(requests), len(requests)) as flow:
            for _ in range(KILLS // 2):
                point = chance.choice((None, *faults.POINTS))
                life = lives.prepare(point, chance.randint(1, 3))
                worker = life.begin()
                if point is None:
                    await worker.handled(chance.randint(1, 500))
                    await asyncio.sleep(chance.uniform(0.0, _LIFE_S_MAX))
                    worker.kill()
                assert await worker.ended() == -signal.SIGKILL, worker.said
                if chance.random() < 0.3:
                    empty_disk(tmp_path, chance)
        await carry_through(settings, lives, lives.prepare(), flow.sent)
    await assert_said_once(settings)


async def assert_said_once(settings: Settings) -> None:
    """Assert it of the decisions' log and of the state topic."""
    told = decisions_in(await read_to_end(settings, settings.topics.decisions))
    reviews = {each.decision_id: each for each in told if each.action == "review"}
    assert reviews
    assert reviews == await expected_reviews(settings)

    by_subject: dict[str, dict[int, Decision]] = defaultdict(dict)
    for decision in told:
        said = by_subject[decision.key]
        assert decision.revision not in said, (said[decision.revision], decision)
        said[decision.revision] = decision
    assert any(len(said) > 1 for said in by_subject.values())
    assert all(sorted(said) == list(range(1, len(said) + 1)) for said in by_subject.values())

    in_force = {
        (record.key or b"").decode(): record.value
        for record in await read_to_end(settings, settings.topics.decisions_state)
    }
    assert in_force.keys() == by_subject.keys()
    for key, value in in_force.items():
        if value is not None:
            assert (
                msgspec.json.decode(value, type=Decision) == by_subject[key][max(by_subject[key])]
            )


async def expected_reviews(settings: Settings) -> dict[str, Decision]:
    """Return the reviews that follow from what was told of links."""
    topics = settings.topics
    groups = [
        Groups(settings.detection(), version("pairwatch"), topics.link_activity, n, lambda _: None)
        for n in range(topics.partitions)
    ]
    return {
        review.decision_id: review
        for record in await read_to_end(settings, topics.link_activity)
        for review in groups[record.partition]
        .observe([LinkActivity.from_bytes(record.value or b"")], [record.offset])
        .reviews
    }
