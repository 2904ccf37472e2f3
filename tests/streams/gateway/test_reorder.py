"""A log comes out in order as far as the bounds go, and loses nothing beyond them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gateway.reorder import BLOCK_LINES, in_order

WINDOW_S = 10.0
Line = tuple[float | None, int]
TIMES = st.lists(st.integers(0, 1_000).map(float), max_size=400)


def reorder(times: list[float], window_s: float = WINDOW_S, lines_max: int = 10_000) -> list[Line]:
    lines: list[Line] = [(ts, number) for number, ts in enumerate(times)]
    return list(in_order(lines, lambda line: line[0], window_s, lines_max))


def shuffled(seed: int, late_s: float = WINDOW_S) -> list[float]:
    """A request a second, each logged up to `late_s` after it came."""
    generator = random.Random(seed)
    logged = [(ts + generator.uniform(0, late_s), float(ts)) for ts in range(5_000)]
    return [ts for _, ts in sorted(logged)]


def disorder(times: list[float]) -> int:
    return sum(later < earlier for earlier, later in pairwise(times))


def came_out(times: list[float]) -> list[float]:
    return [ts for ts, _ in reorder(times) if ts is not None]


@given(TIMES, st.sampled_from([0.0, 1.0, 100.0]), st.sampled_from([1, 10, 10_000]))
def test_nothing_is_lost_or_doubled(times: list[float], window_s: float, lines_max: int) -> None:
    out = reorder(times, window_s, lines_max)
    assert sorted(out, key=lambda line: line[1]) == [(ts, n) for n, ts in enumerate(times)]


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, WINDOW_S)), max_size=400))
def test_what_is_late_by_less_than_the_window_comes_out_in_order(
    requests: list[tuple[int, float]],
) -> None:
    logged = sorted((ts + late_s, float(ts)) for ts, late_s in requests)
    times = [ts for _, ts in logged]
    assert reorder(times) == sorted(
        ((ts, n) for n, ts in enumerate(times)), key=lambda line: (line[0], line[1])
    )


def test_a_log_in_order_comes_out_as_it_stands_even_without_a_window() -> None:
    times = [float(n // 3) for n in range(1_000)]
    assert reorder(times, window_s=0.0) == [(ts, n) for n, ts in enumerate(times)]


def test_what_is_later_than_the_window_comes_out_where_it_stands() -> None:
    times = [float(n) for n in range(1_000)]
    times.insert(500, 3.0)
    out = came_out(times)
    assert disorder(out) == 1
    assert abs(out.index(3.0, 10) - 500) < WINDOW_S + 2 * BLOCK_LINES


@pytest.mark.parametrize("strays", [1, BLOCK_LINES // 2 - 1])
@pytest.mark.parametrize("ahead_s", [3_600.0, 1e9])
def test_lines_from_a_clock_that_is_ahead_push_out_nothing(strays: int, ahead_s: float) -> None:
    times = shuffled(seed=1)
    times[1_000:1_000] = [times[1_000] + ahead_s] * strays
    assert disorder(came_out(times)) == 0


def test_a_pause_in_the_log_is_no_wrong_clock() -> None:
    night = [ts + 30_000 for ts in shuffled(seed=2)]
    assert disorder(came_out(shuffled(seed=1) + night)) == 0


def test_no_more_lines_are_held_than_allowed() -> None:
    pulled = 0

    def lines() -> Iterator[float]:
        nonlocal pulled
        for number in range(1_000):
            pulled += 1
            yield float(number)

    for released, _ in enumerate(in_order(lines(), lambda ts: ts, 1e9, 50), start=1):
        assert pulled - released <= 50


def test_what_has_no_time_passes_at_once() -> None:
    lines: list[Line] = [(2.0, 0), (None, 1), (1.0, 2)]
    assert list(in_order(lines, lambda line: line[0], WINDOW_S, 10)) == [
        (None, 1),
        (1.0, 2),
        (2.0, 0),
    ]
