"""Patient copies that no count gives away, and nobody whose taste is popular."""

from __future__ import annotations

import pytest

from tests.scenarios.alone import Told, alone

ATTACKS = ("slow-drip", "human-pace", "slow-ramp")


@pytest.fixture(scope="module")
def told() -> Told:
    return alone("slow-drip", "calm", ATTACKS, seed=3, days=4, accounts=200)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_patient_copy_is_throttled_long_before_it_is_complete(told: Told, attack: str) -> None:
    (decisions,) = told.about(attack)
    assert decisions
    assert {decision.action for decision in decisions} == {"throttle"}
    assert decisions[0].evidence.catalogue_share < 0.05


def test_reasons_say_how_much_of_what_was_opened_follows_the_catalogue(told: Told) -> None:
    for decision in told.decisions:
        *reasons, level = decision.reasons
        (share,) = [reason for reason in reasons if reason.unit == "%"]
        assert share.expected == 0
        assert 50 <= share.observed <= 100
        assert level.observed >= level.expected


def test_who_keeps_time_is_told_so(told: Told) -> None:
    (decisions,) = told.about("slow-drip")
    (patience,) = [one for one in decisions[0].reasons[:-1] if "patient program" in one.signal]
    assert patience.unit == "decibans per day"
    assert patience.observed > 60 > patience.expected


def test_no_customer_is_stopped_beside_a_patient_copy(told: Told) -> None:
    assert told.honest == []


@pytest.mark.parametrize("mix", ["ordinary", "honest-groups", "odd-customers"])
def test_heavy_readers_of_what_people_read_are_left_alone(mix: str) -> None:
    assert alone("slow-drip", mix, seed=3, days=3).decisions == []
