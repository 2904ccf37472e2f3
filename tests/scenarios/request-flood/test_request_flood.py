"""Floods of any action, and nobody who merely works or tries again."""

from __future__ import annotations

import pytest

from tests.scenarios.alone import Told, alone


@pytest.fixture(scope="module")
def told() -> Told:
    return alone("request-flood", "ordinary", ["generation-flood"], seed=3, days=3)


def test_a_flood_of_generations_is_throttled_at_once(told: Told) -> None:
    (decisions,) = told.about("generation-flood")
    first = decisions[0]
    assert first.action == "throttle"
    assert first.limit_per_minute is not None
    assert first.reasons[0].observed > 3 * first.limit_per_minute
    assert first.evidence.requests < 2_000


def test_a_flood_alone_is_never_a_ban(told: Told) -> None:
    # It shows one kind of evidence, and a ban wants two.
    assert {decision.action for decision in told.decisions} == {"throttle"}


def test_customers_who_meet_the_errors_of_a_flood_or_an_outage_are_left_alone(told: Told) -> None:
    assert told.honest == []


@pytest.mark.parametrize("mix", ["ordinary", "honest-groups"])
def test_steady_machines_and_busy_groups_are_left_alone(mix: str) -> None:
    assert alone("request-flood", mix, seed=3, days=2).decisions == []
