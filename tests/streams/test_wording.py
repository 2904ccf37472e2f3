"""Figures are said as people say them, and words can't harm a terminal."""

from __future__ import annotations

import doctest
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.wording import duration, safe, seconds_between


@pytest.mark.parametrize("module", ["streams.wording", "streams.pairs"])
def test_the_examples_in_the_documentation_hold(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried > 0
    assert failed == 0


@given(st.text())
def test_any_words_stay_on_their_line_and_in_their_colour(text: str) -> None:
    shown = safe(text)
    assert shown.isascii()
    assert shown.isprintable()


@given(st.floats(0, 10**9))
def test_a_duration_is_at_most_two_units_and_off_by_less_than_one_of_the_smaller(
    seconds: float,
) -> None:
    sizes = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    words = duration(seconds).split()
    assert len(words) in (2, 4)
    said = sum(int(n) * sizes[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert 0 <= seconds - said < max(sizes[words[-1]], sizes[words[1]] / 24)


def test_a_time_that_comes_first_is_below_zero() -> None:
    assert seconds_between("2024-03-02T20:00:10Z", "2024-03-02T20:00:00Z") == -10
