"""The level of evidence about a group: the odds at least, and what honest groups reach."""

from __future__ import annotations

import random

import pytest

from models.groups.level import Level


def learned(count: int, mean: float, share: float = 1.0) -> Level:
    level, rng = Level(), random.Random(1)
    for _ in range(count):
        level.learn_one(rng.expovariate(1 / mean) if rng.random() < share else -3.0)
    return level


@pytest.mark.parametrize(("probability", "decibans"), [(1e-4, 40), (1e-5, 50)])
def test_the_level_is_never_below_the_odds_themselves(probability: float, decibans: float) -> None:
    assert Level().at(probability) == pytest.approx(decibans)
    assert learned(50_000, 0.5).at(probability) == pytest.approx(decibans)


def test_the_level_follows_honest_groups_that_reach_further() -> None:
    level, rng = learned(50_000, 6.0), random.Random(2)
    reached = sum(rng.expovariate(1 / 6.0) >= level.at(1e-4) for _ in range(100_000))
    assert 2 <= reached <= 30


def test_a_few_that_reach_far_on_one_day_move_the_level_little() -> None:
    level = learned(20_000, 3.0, share=0.02)
    before = level.at(1e-4)
    for _ in range(20):
        level.learn_one(500.0)
    assert level.at(1e-4) < before + 15


def test_what_was_learned_fades_within_months() -> None:
    level = learned(5_000, 20.0)
    level.begin_day(19_800)
    level.begin_day(19_800 + 400)
    assert level.at(1e-4) == pytest.approx(Level().at(1e-4), abs=3)
