"""What a decision says of itself: which levels were passed, and by what."""

from __future__ import annotations

from functools import cache

import pytest

from models.decision import Decision, Reason
from models.scenarios import SCENARIOS
from models.verdict import BAN_LEVEL_OF, LEVEL_OF, REFUSED
from tests.models.traffic import HOUR_S, MIDNIGHT_S, Partition, request, traffic

#: When the traffic of four days is over.
LATER_S = MIDNIGHT_S + 4 * 24 * HOUR_S
KINDS = {signal.name: signal.kind for scenario in SCENARIOS for signal in scenario.signals}


@cache
def decided(seed: int) -> list[Decision]:
    """Return the decisions of some days, and of a flood that goes on against its throttle."""
    partition = Partition()
    partition.observe(traffic(seed))
    partition.observe(
        [
            request("deaf", LATER_S + n / 25, action="generate", status=200 if n < 500 else 429)
            for n in range(4_000)
        ]
    )
    return partition.decisions


def levels(decision: Decision, of: str) -> list[tuple[str, Reason]]:
    return [
        (KINDS[reason.signal.removeprefix(of)], reason)
        for reason in decision.reasons
        if reason.signal.startswith(of)
    ]


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_ban_names_its_own_level_and_two_kinds_of_evidence(seed: int) -> None:
    bans = [each for each in decided(seed) if each.action == "ban"]
    assert {each.value for each in bans} >= {"copier", "deaf"}
    for ban in bans:
        [(kind, own)] = levels(ban, BAN_LEVEL_OF)
        assert own.observed >= own.expected > 0
        others = {other for other, _ in levels(ban, LEVEL_OF)} - {kind}
        went_on = any(reason.signal == REFUSED for reason in ban.reasons)
        assert others or went_on


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_throttle_names_the_level_that_its_strongest_signal_passed(seed: int) -> None:
    for throttle in [each for each in decided(seed) if each.action == "throttle"]:
        assert levels(throttle, BAN_LEVEL_OF) == []
        if throttle.reasons[0].weight:
            [(_, own)] = levels(throttle, LEVEL_OF)
            assert own.observed >= own.expected > 0


def test_what_names_a_level_weighs_nothing_beside_what_was_seen() -> None:
    for decision in decided(5):
        named = levels(decision, LEVEL_OF) + levels(decision, BAN_LEVEL_OF)
        assert all(reason.weight == 0 for _, reason in named)
