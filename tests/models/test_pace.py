"""How soon and how evenly one choice follows another, and whether it is the next by number."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from models.pace import ACT_S, CLASSES, Pace, number_of


def test_what_follows_faster_than_people_follow_speaks_for_a_program() -> None:
    pace = Pace()
    said = [pace.haste(gap_s) for gap_s in (0.5, 1.0, 3.0, 10.0, 60.0, 86_400.0)]
    assert said == sorted(said, reverse=True)
    assert said[0] > said[1] > 0 > said[-1]


def test_a_service_whose_people_are_fast_makes_haste_usual() -> None:
    rng, pace = random.Random(1), Pace()
    before = pace.haste(1.0)
    for _ in range(2_000):
        pace.learn(rng.lognormvariate(0.0, 0.5), None, None)
    assert pace.haste(1.0) < 1 < before


def test_over_honest_choices_haste_is_no_gain_whatever_their_pace() -> None:
    rng, pace = random.Random(2), Pace()
    for _ in range(20_000):
        pace.learn(rng.lognormvariate(2.0, 1.5), None, None)
    gaps = [max(rng.lognormvariate(2.0, 1.5), ACT_S) for _ in range(5_000)]
    assert sum(10 ** (pace.haste(gap_s) / 10) for gap_s in gaps) / len(gaps) <= 1.05


def test_what_is_fetched_with_a_page_is_one_act() -> None:
    assert Pace().haste(ACT_S / 2) == 0
    assert Pace().evenness(ACT_S / 2, 20.0) == Pace().evenness(20.0, 0.0) == 0


def test_keeping_time_speaks_for_a_program_whether_fast_or_slow() -> None:
    pace = Pace()
    for gap_s in (1.0, 20.0, 900.0):
        said = [pace.evenness(gap_s, gap_s * times) for times in (1.0, 1.5, 4.0, 100.0)]
        assert said == sorted(said, reverse=True)
        assert said[0] > 2 > 0 > said[-1]
        assert pace.evenness(gap_s, gap_s * 1.5) == pace.evenness(gap_s * 1.5, gap_s)


def test_a_service_whose_clients_keep_time_makes_it_usual() -> None:
    rng, pace = random.Random(5), Pace()
    for _ in range(2_000):
        pace.learn(rng.lognormvariate(3.0, 0.05), None, None, 20.0)
    assert pace.evenness(20.0, 20.0) < 0


def test_over_honest_choices_evenness_is_no_gain_however_even_they_are() -> None:
    for sigma in (0.3, 1.5):
        rng, pace = random.Random(6), Pace()
        gaps = [max(rng.lognormvariate(2.0, sigma), ACT_S) for _ in range(25_001)]
        for before_s, gap_s in pairwise(gaps[:20_000]):
            pace.learn(gap_s, None, None, before_s)
        said = [pace.evenness(gap_s, before_s) for before_s, gap_s in pairwise(gaps[20_000:])]
        assert sum(10 ** (one / 10) for one in said) / len(said) <= 1.05


def test_walking_by_number_speaks_for_a_program_unless_people_do() -> None:
    pace = Pace()
    before = pace.step(41, 42)
    assert before > 5
    assert pace.step(41, 500) == pace.step(None, 42) == pace.step(41, 41) == 0
    for n in range(2_000):
        pace.learn(10.0, n, n + 1)
    assert pace.step(41, 42) == 0


@pytest.mark.parametrize(
    ("pair_id", "number"),
    [
        ("p_0000041", 41),
        ("/images/41.jpeg", 41),
        ("red-cat-7", 7),
        ("7d6c0f9e-aaaa-bbbb-cccc-ffffffffffff", None),
        ("welcome", None),
        ("9" * 128, None),
        ("k2-75573d666c344854", None),
        ("123e4567-e89b-12d3-a456-42661417400f12", None),
    ],
)
def test_ids_are_numbered_by_what_they_end_in(pair_id: str, number: int | None) -> None:
    assert number_of(pair_id) == number


def test_what_is_told_is_learned_elsewhere_and_nothing_of_another_shape() -> None:
    rng, one, other = random.Random(3), Pace(), Pace()
    for _ in range(1_000):
        one.learn(rng.lognormvariate(0.0, 0.5), 1, 2)
    other.merge(one.tell())
    assert other.haste(1.0) < 1
    assert other.step(1, 2) == 0
    for told in ([1], [-1] * (CLASSES + 2), [1] * (CLASSES + 3)):
        with pytest.raises(ValueError, match="shape"):
            other.merge(told)


def test_taken_up_again_it_says_the_same() -> None:
    rng, pace = random.Random(4), Pace()
    for _ in range(1_000):
        pace.learn(rng.lognormvariate(1.0, 1.0), rng.randrange(9), rng.randrange(9))
    again = Pace()
    again.restore(pace.to_wire())
    for one in (pace, again):
        for _ in range(100):
            one.learn(2.0, 1, 7)
    assert again.to_wire() == pace.to_wire()
