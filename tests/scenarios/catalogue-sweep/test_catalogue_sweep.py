"""Copies that are made as fast as pairs are given out, and nobody else."""

from __future__ import annotations

import pytest

from tests.scenarios.alone import Told, alone

ATTACKS = ("steady-scraper", "pulsing", "hijacked", "id-walk")


@pytest.fixture(scope="module")
def told() -> Told:
    return alone("catalogue-sweep", "calm", ATTACKS, seed=3, days=3)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_sweep_is_throttled_below_its_own_pace(told: Told, attack: str) -> None:
    members = told.about(attack)
    assert members
    for decisions in members:
        assert decisions
        assert all(decision.limit_per_minute is not None for decision in decisions)
        assert decisions[0].reasons[0].signal.startswith(("pairs", "evidence"))
        assert decisions[0].evidence.distinct_pairs < 2_000


def test_no_customer_is_stopped_beside_a_sweep(told: Told) -> None:
    assert told.honest == []


@pytest.mark.parametrize("mix", ["ordinary", "honest-groups"])
def test_classes_agencies_viral_pairs_and_bulk_downloads_of_own_pairs_are_left_alone(
    mix: str,
) -> None:
    assert alone("catalogue-sweep", mix, seed=3, days=2).decisions == []
