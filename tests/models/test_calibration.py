"""Levels keep the operator's budget, follow the world, and can't be moved by a few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import BELIEF_ACCOUNT_DAYS, HEIGHTS, RUNGS, Tail, rung_of
from models.signals import DAY_S, Signal

BELIEF = Signal("requests", DAY_S, usual=40, excess=4_000)


def learn(tail: Tail, days: np.ndarray) -> Tail:
    for rung in [rung_of(count) for count in days.tolist()]:
        tail.begin_day()
        tail.reach(-1, rung)
    return tail


def log_normal(seed: int, median: float, sigma: float, days: int) -> np.ndarray:
    return np.floor(np.random.default_rng(seed).lognormal(math.log(median), sigma, days))


@pytest.mark.parametrize(("median", "sigma"), [(20, 0.6), (40, 1.0), (300, 1.5)])
@pytest.mark.parametrize("share", [0.01, 0.001])
def test_the_level_of_a_share_is_passed_by_about_that_share_of_fresh_days(
    median: float, sigma: float, share: float
) -> None:
    tail = learn(Tail(BELIEF), log_normal(1, median, sigma, 20_000))
    fresh = log_normal(2, median, sigma, 400_000)
    assert share / 2.5 < (fresh >= tail.level(share)).mean() < share * 2.5


@pytest.mark.parametrize(("share", "times"), [(0.01, 1.5), (0.001, 2)])
def test_one_attacker_in_a_hundred_moves_no_level_far(share: float, times: float) -> None:
    honest = log_normal(1, 40, 1.0, 10_000)
    clean = learn(Tail(BELIEF), honest).level(share)
    attacked = learn(learn(Tail(BELIEF), honest), np.full(100, 200_000.0)).level(share)
    assert clean <= attacked < times * clean


def test_a_day_taken_back_leaves_everything_as_it_was() -> None:
    tail = learn(Tail(BELIEF), log_normal(1, 40, 1.0, 500))
    before = (tail.days, list(tail.reached))
    tail.begin_day()
    tail.reach(-1, 20)
    tail.reach(20, 57)
    assert (tail.days, tail.reached) != before
    tail.take_back(57)
    assert (tail.days, tail.reached) == before


def test_what_is_taken_back_twice_or_faded_away_leaves_nothing_below_zero() -> None:
    tail = Tail(BELIEF)
    tail.begin_day()
    tail.reach(-1, 3)
    tail.fade()
    tail.take_back(3)
    tail.take_back(3)
    assert tail.days == 0
    assert min(tail.reached) == 0


def test_the_belief_holds_before_any_day_was_seen() -> None:
    tail = Tail(BELIEF)
    assert tail.usual == pytest.approx(BELIEF.usual, rel=0.1)
    assert tail.level(0.001) == pytest.approx(BELIEF.excess, rel=0.1)
    assert tail.probability(BELIEF.excess) == pytest.approx(0.001, rel=0.2)


def test_belief_gives_way_as_days_come() -> None:
    modest = log_normal(1, 10, 0.5, 20_000)
    levels = [learn(Tail(BELIEF), modest[:days]).level(0.001) for days in (0, 300, 600, 20_000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] < 1.2 * 10 * math.exp(3.09 * 0.5)
    assert BELIEF_ACCOUNT_DAYS < 600


def test_a_lasting_doubling_is_followed_within_weeks() -> None:
    def weeks(tail: Tail, median: float, seed: int, days: int) -> Tail:
        for day in range(days):
            learn(tail, log_normal(seed + day, median, 0.8, 300))
            tail.fade()
        return tail

    tail = weeks(Tail(BELIEF), 40, 100, 28)
    before = tail.level(0.001)
    after = weeks(tail, 80, 200, 21).level(0.001)
    assert after == pytest.approx(2 * before, rel=0.25)


counts = st.one_of(st.sampled_from((0, 1, 2, 2**30, 2**40)), st.floats(0, 2**40))
ladders = st.lists(counts, max_size=300)


@given(ladders, st.lists(counts, min_size=2, max_size=2).map(sorted))
def test_more_is_never_more_probable(seen: list[float], two: list[float]) -> None:
    tail = learn(Tail(BELIEF), np.array(seen))
    less, more = two
    assert 0 <= tail.probability(more) <= tail.probability(less) <= 1


@given(ladders, st.lists(st.floats(1e-300, 1), min_size=2, max_size=2).map(sorted))
def test_a_level_rises_as_its_share_falls_and_is_always_a_number(
    seen: list[float], two: list[float]
) -> None:
    tail = learn(Tail(BELIEF), np.array(seen))
    rarer, commoner = (tail.level(share) for share in two)
    assert 0 < commoner <= rarer < math.inf


def test_the_probability_of_a_level_is_its_share() -> None:
    tail = learn(Tail(BELIEF), log_normal(1, 40, 1.0, 2_000))
    for share in (0.05, 0.001, 1e-7, 1e-12):
        assert tail.probability(tail.level(share)) == pytest.approx(share, rel=1e-6)


@given(st.integers(0, RUNGS - 1))
def test_a_rung_is_reached_at_its_height_and_not_before(rung: int) -> None:
    assert rung_of(HEIGHTS[rung]) == rung
    assert rung_of(HEIGHTS[rung] * (1 - 1e-6)) == rung - 1


@given(st.floats(1, 2**31))
def test_a_count_stands_on_the_highest_rung_that_is_no_higher(count: float) -> None:
    rung = rung_of(count)
    assert HEIGHTS[rung] <= count * (1 + 1e-9)
    assert rung == RUNGS - 1 or HEIGHTS[rung + 1] > count


def test_whatever_is_beyond_every_rung_stands_on_the_last() -> None:
    assert rung_of(2**40) == rung_of(math.inf) == RUNGS - 1
    assert rung_of(0) == rung_of(0.5) == -1


@pytest.mark.parametrize("count", [0, 1, 2**40])
def test_a_world_in_which_every_day_is_alike_has_levels_too(count: int) -> None:
    tail = learn(Tail(BELIEF), np.full(5_000, float(count)))
    assert 0 < tail.level(0.001) < math.inf
    assert 0 <= tail.probability(2**40) <= tail.probability(0) == 1
