"""An account's habit is what it usually does, and lasting change becomes habit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.habit import Habit


def habit_of(counts: list[float]) -> Habit:
    habit = Habit()
    for count in counts:
        habit.learn_one(count)
    return habit


def test_nothing_is_usual_before_the_first_day() -> None:
    assert (Habit().days, Habit().usual) == (0, 0.0)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_the_usual_lies_within_what_was_seen(counts: list[float]) -> None:
    habit = habit_of(counts)
    assert habit.days == len(counts)
    assert min(counts) * (1 - 1e-6) - 1e-6 <= habit.usual <= max(counts) * (1 + 1e-6) + 1e-6


def test_one_wild_day_does_not_double_a_habit() -> None:
    assert habit_of([50] * 20 + [5_000]).usual < 100


def test_a_lasting_change_becomes_habit_within_weeks() -> None:
    assert habit_of([50] * 60 + [100] * 28).usual == pytest.approx(100, rel=0.1)


@given(st.lists(st.integers(0, 10_000), max_size=20), st.lists(st.integers(0, 10_000), max_size=9))
def test_a_habit_taken_up_again_learns_on_as_if_nothing_had_been(
    before: list[float], after: list[float]
) -> None:
    whole, first = habit_of(before), habit_of(before)
    resumed = Habit()
    resumed.restore(first.days, first.mean_log)
    for count in after:
        whole.learn_one(count)
        resumed.learn_one(count)
    assert (resumed.days, resumed.mean_log) == (whole.days, whole.mean_log)
