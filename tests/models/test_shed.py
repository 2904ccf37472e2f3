"""A partition that is behind judges only the number of what an account sends beyond need."""

from __future__ import annotations

import random
from functools import cache

import pytest

from models.decision import Source
from models.notices import Detail
from models.observation import Observation
from models.request import Request
from models.window import CHOICES
from tests.models.traffic import DAY_S, HOUR_S, MIDNIGHT_S, Partition, request, traffic

_DAYS = 3
_BEGINS_S = MIDNIGHT_S + _DAYS * DAY_S + 9 * HOUR_S
#: Four a second for a minute, in each of ten: an account that nobody throttles yet.
_APART_S, _MINUTES = 0.25, 10
_PER_MINUTE = 15


@cache
def peers() -> list[Request]:
    return traffic(2, honest=90, days=_DAYS)


def busy(name: str, kind: str) -> list[Request]:
    rng = random.Random(kind)
    kinds: dict[str, dict[str, object]] = {
        "copies": {"action": "view"},
        "generates": {"action": "generate"},
    }
    pairs = {"copies": lambda n: f"pair_{rng.randrange(200_000)}", "generates": "own_{}".format}
    return [
        request(
            name,
            _BEGINS_S + n * _APART_S,
            request_id=f"{name}.{n}",
            pair_ids=[pairs[kind](n)],
            **kinds[kind],
        )
        for n in range(int(60 * _MINUTES / _APART_S))
    ]


def quiet() -> list[Request]:
    rng = random.Random(5)
    return [
        request(
            f"person_{person}",
            _BEGINS_S + 5 * n + person + rng.random(),
            request_id=f"p{person}.{n}",
            pair_ids=[f"pair_{int(rng.paretovariate(0.6))}"],
        )
        for n in range(12 * _MINUTES)
        for person in range(4)
    ]


def say(partition: Partition, full_per_minute: int) -> None:
    notice = Detail(id=f"detail:{full_per_minute}", full_per_minute=full_per_minute)
    assert partition.detector.apply(notice, Source("notices", 0, 0)) == []


@cache
def judged(kind: str, full_per_minute: int) -> tuple[Partition, Observation]:
    partition = Partition()
    partition.observe(peers())
    say(partition, full_per_minute)
    log = sorted([*busy("busy", kind), *quiet()], key=lambda one: one.ts)
    return partition, partition.observe(log)


def first(kind: str, full_per_minute: int, action: str) -> str:
    found, _ = judged(kind, full_per_minute)
    return next(decision.issued_at for decision in found.decisions if decision.action == action)


@pytest.mark.parametrize("kind", ["copies", "generates"])
def test_of_the_quiet_all_is_judged_and_of_the_busy_everything_is_counted(kind: str) -> None:
    (found, _), (whole, _) = judged(kind, _PER_MINUTE), judged(kind, 0)
    for name in (f"person_{n}" for n in range(4)):
        assert found.profile(name).to_bytes() == whole.profile(name).to_bytes()
    mine, expected = (each.profile("busy").windows[-1].to_wire(CHOICES) for each in (found, whole))
    assert mine[:3] == expected[:3]


def test_in_each_minute_as_much_of_an_account_is_judged_in_full_as_was_said() -> None:
    (_, seen), (_, whole) = judged("generates", _PER_MINUTE), judged("generates", 0)
    assert seen.shed == len(busy("busy", "generates")) - _MINUTES * _PER_MINUTE
    assert whole.shed == 0


def test_a_copier_is_stopped_as_soon_as_by_all_of_it() -> None:
    for action in ("throttle", "ban"):
        assert first("copies", _PER_MINUTE, action) == first("copies", 0, action)


def test_a_flood_is_stopped_at_the_same_request() -> None:
    assert first("generates", _PER_MINUTE, "throttle") == first("generates", 0, "throttle")


def test_detail_is_back_once_that_is_said_and_what_was_said_outlasts_a_restart() -> None:
    partition = Partition()
    say(partition, _PER_MINUTE)
    partition.checkpoint()
    partition.restart()
    log = busy("busy", "copies")
    assert partition.observe(log[:100]).shed == 100 - _PER_MINUTE
    say(partition, 0)
    assert partition.observe(log[100:240]).shed == 0


def test_a_repeat_of_what_was_said_changes_nothing() -> None:
    partition = Partition()
    say(partition, _PER_MINUTE)
    say(partition, 0)
    say(partition, _PER_MINUTE)
    assert partition.observe(busy("busy", "copies")).shed == 0
