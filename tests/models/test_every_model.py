"""What every model promises: to score before it learns, in bounded space, the same each time."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import models
from models.calibration import Tail, rung_of
from models.config import DetectionConfig
from models.habit import Habit
from models.pace import Pace
from models.popularity import Popularity
from models.population import Population
from models.profile import Profile
from models.recent import RecentRequests
from models.signals import DAY_S, Signal
from tests.models.traffic import MIDNIGHT_S, in_order, slots

_SIGNAL = Signal("requests", DAY_S, usual=40, excess=4_000)


@dataclass(frozen=True)
class Promise:
    """How one model is made, asked, taught and kept."""

    make: Callable[[], Any]
    score: Callable[[Any], Any]
    learn: Callable[[Any, random.Random], None]
    state: Callable[[Any], Any]
    kept: Callable[[Any], Any]
    bytes_max: int


def _admit(recent: RecentRequests, rng: random.Random) -> None:
    recent.admit(f"r{rng.randrange(500)}", MIDNIGHT_S + rng.random() * 5_000)


def _reach(tail: Tail, rng: random.Random) -> None:
    tail.begin_day()
    tail.reach(-1, rung_of(rng.lognormvariate(3, 1)))
    if rng.random() < 0.01:
        tail.fade()


def _kept_tail(tail: Tail) -> Tail:
    kept = Tail(tail.signal)
    kept.restore(tail.days, tail.tops, tail.untold)
    return kept


def _read(popularity: Popularity, rng: random.Random) -> None:
    pair, reader = int(rng.paretovariate(0.7)), rng.randrange(1 << 32)
    popularity.learn((pair,), reader, 5_000, chosen=True, weighed=True)


def _popularity_state(popularity: Popularity) -> Any:
    return slots(popularity), [popularity.evidence(pair, 1) for pair in range(300)]


def _kept_popularity(popularity: Popularity) -> Popularity:
    wire, rows = popularity.snapshot()
    kept = Popularity()
    kept.restore(msgspec.convert(msgspec.to_builtins(wire), type(wire)), rows.get)
    return kept


def _follow(pace: Pace, rng: random.Random) -> None:
    gap_s, before_s = rng.lognormvariate(2.0, 1.0), rng.lognormvariate(2.0, 1.0)
    pace.learn(gap_s, rng.randrange(9), rng.randrange(9), before_s)


def _kept_pace(pace: Pace) -> Pace:
    kept = Pace()
    kept.restore(pace.to_wire())
    return kept


def _live(profile: Profile, rng: random.Random) -> None:
    latest_s = profile.recent.latest_s or MIDNIGHT_S
    ts = latest_s + rng.expovariate(1 / 400)
    profile.recent.admit(f"r{ts}", ts)
    if profile.begins_day(ts):
        profile.close_day(ts, learn=True)
    new_pairs = profile.see_pairs([rng.getrandbits(64) for _ in range(3)], today=True)
    profile.weigh(rng.uniform(-1, 1))
    profile.count(ts, 1, 1.0, new_pairs, 1, rng.uniform(-1, 1))
    profile.add_sample(f"r{ts}")


def _populate(population: Population, rng: random.Random) -> None:
    population.begin_account_day(19_000 + rng.randrange(3), counted=True)
    for tail in population.tails:
        tail.reach(-1, rng.randrange(-1, 60))
    _read(population.popularity, rng)


def _population_state(population: Population) -> Any:
    tails = [(tail.days, tail.reached) for tail in population.tails]
    return population.levels, tails, _popularity_state(population.popularity)


def _kept_population(population: Population) -> Population:
    data, rows = population.snapshot()
    kept = Population(DetectionConfig())
    kept.restore(data, rows.get)
    return kept


def _kept_habit(habit: Habit) -> Habit:
    kept = Habit()
    kept.restore(habit.days, habit.mean_log)
    return kept


def _kept_recent(recent: RecentRequests) -> RecentRequests:
    kept = RecentRequests()
    kept.restore(recent.to_wire())
    return kept


PROMISES = {
    "Habit": Promise(
        make=Habit,
        score=lambda habit: habit.usual,
        learn=lambda habit, rng: habit.learn_one(rng.randrange(10_000)),
        state=lambda habit: (habit.days, habit.mean_log),
        kept=_kept_habit,
        bytes_max=20,
    ),
    "RecentRequests": Promise(
        make=RecentRequests,
        score=lambda recent: recent.latest_s,
        learn=_admit,
        state=lambda recent: recent.to_wire(),
        kept=_kept_recent,
        bytes_max=600,
    ),
    "Tail": Promise(
        make=lambda: Tail(_SIGNAL),
        score=lambda tail: (tail.probability(100), tail.level(0.001), tail.usual),
        learn=_reach,
        state=lambda tail: (tail.days, tail.reached),
        kept=_kept_tail,
        bytes_max=1_500,
    ),
    "Pace": Promise(
        make=Pace,
        score=lambda pace: (pace.haste(1.0), pace.evenness(20.0, 21.0), pace.step(1, 2)),
        learn=_follow,
        state=lambda pace: pace.to_wire(),
        kept=_kept_pace,
        bytes_max=1_000,
    ),
    "Popularity": Promise(
        make=Popularity,
        score=lambda popularity: popularity.evidence(3, 1),
        learn=_read,
        state=_popularity_state,
        kept=_kept_popularity,
        bytes_max=50_000,
    ),
    "Profile": Promise(
        make=lambda: Profile(MIDNIGHT_S, 7),
        score=lambda profile: (profile.rare, profile.pairs_today, profile.habit_requests.usual),
        learn=_live,
        state=lambda profile: in_order(profile.to_bytes()),
        kept=lambda profile: Profile.from_bytes(profile.to_bytes(), 7),
        bytes_max=5_000,
    ),
    "Population": Promise(
        make=lambda: Population(DetectionConfig()),
        score=lambda population: (population.warm, population.catalogue_size, population.levels),
        learn=_populate,
        state=_population_state,
        kept=_kept_population,
        bytes_max=70_000,
    ),
}


@pytest.fixture(params=PROMISES)
def promise(request: pytest.FixtureRequest) -> Promise:
    return PROMISES[request.param]


def taught(promise: Promise, lessons: int, seed: int = 1) -> Any:
    model, rng = promise.make(), random.Random(seed)
    for _ in range(lessons):
        promise.learn(model, rng)
    return model


def test_a_model_can_be_asked_before_it_has_learned_and_learns_nothing_from_it(
    promise: Promise,
) -> None:
    for lessons in (0, 50):
        model = taught(promise, lessons)
        before = msgspec.msgpack.encode(promise.state(model))
        assert promise.score(model) == promise.score(model)
        assert msgspec.msgpack.encode(promise.state(model)) == before


def test_a_model_learns(promise: Promise) -> None:
    assert promise.state(taught(promise, 400)) != promise.state(promise.make())


def test_a_model_taught_the_same_is_the_same(promise: Promise) -> None:
    assert promise.state(taught(promise, 400)) == promise.state(taught(promise, 400))


@pytest.mark.parametrize("lessons", [0, 1, 70, 400])
def test_a_model_taken_up_from_its_snapshot_is_the_same_and_learns_on_alike(
    promise: Promise, lessons: int
) -> None:
    model = taught(promise, lessons)
    kept = promise.kept(model)
    assert promise.state(kept) == promise.state(model)
    one, other = random.Random(2), random.Random(2)
    for _ in range(60):
        promise.learn(model, one)
        promise.learn(kept, other)
    assert promise.state(kept) == promise.state(model)
    assert promise.score(kept) == promise.score(model)


def test_a_model_stays_within_its_bounds(promise: Promise) -> None:
    model = taught(promise, 5_000)
    assert len(msgspec.msgpack.encode(promise.state(model))) <= promise.bytes_max


@pytest.mark.parametrize(
    "name", sorted(found.name for found in pkgutil.walk_packages(models.__path__, "models."))
)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
