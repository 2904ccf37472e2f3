"""Copies made from pages alone, and nobody who looks closer at what pages show."""

from __future__ import annotations

import pytest

from tests.scenarios.alone import Told, alone


@pytest.fixture(scope="module")
def told() -> Told:
    return alone("page-harvest", "calm", ["search-harvest"], seed=3, days=3)


def test_a_harvest_of_search_pages_is_throttled_below_its_own_pace(told: Told) -> None:
    (decisions,) = told.about("search-harvest")
    assert decisions
    first = decisions[0]
    assert first.reasons[0].signal.startswith("new pairs shown in a row")
    assert first.reasons[0].observed > 5 * first.reasons[0].expected
    assert first.limit_per_minute is not None
    assert first.limit_per_minute < 60 / 25
    assert first.evidence.distinct_pairs < 2_000


def test_no_customer_is_stopped_beside_a_harvest(told: Told) -> None:
    assert told.honest == []


@pytest.mark.parametrize("mix", ["ordinary", "honest-groups"])
def test_scrollers_researchers_and_programs_that_poll_a_page_are_left_alone(mix: str) -> None:
    assert alone("page-harvest", mix, seed=3, days=2).decisions == []
