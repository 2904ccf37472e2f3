"""What a banned account sends beyond need is counted only, and nobody can tell by the decisions."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import profile as profile_module
from models.decision import Decision
from models.request import Request
from models.window import CHOICES
from tests.models.traffic import DAY_S, HOUR_S, MIDNIGHT_S, Partition, request, traffic

_DAYS = 3
_BEGINS_S = MIDNIGHT_S + _DAYS * DAY_S + 9 * HOUR_S
#: More than what is judged in full, for long enough that bans are prolonged.
_APART_S, _LASTS_S = 0.5, 7 * HOUR_S
#: It goes on for so long in each ten minutes, but for the first ten.
_SPELL_S = 150
_SEVERITY = {"throttle": 1, "ban": 2}

#: What the flood asks for once it has copied for five minutes.
_KINDS: dict[str, Callable[[random.Random, int], dict[str, object]]] = {
    "copies on": lambda rng, n: {"pair_ids": [f"pair_{rng.randrange(200_000)}"]},
    "turns pages": lambda rng, n: {"action": "list", "pair_ids": [f"pair_{n}", f"pair_{n + 1}"]},
    "generates": lambda rng, n: {"action": "generate", "pair_ids": [f"own_{n}"]},
    "is refused at times": lambda rng, n: {
        "pair_ids": [f"pair_{rng.randrange(200_000)}"],
        "status": 429 if rng.random() < 0.1 else 200,
    },
}


@cache
def peers() -> list[Request]:
    return traffic(2, honest=90, days=_DAYS)


@cache
def flooded(kind: str) -> list[Request]:
    """Return a flood among people, whom some of the flood's pairs concern, too."""
    rng = random.Random(kind)
    made = []
    for n in range(int(_LASTS_S / _APART_S)):
        ts = _BEGINS_S + n * _APART_S
        if ts > _BEGINS_S + 600 and ts % 600 > _SPELL_S:
            continue
        told = _KINDS["copies on" if ts < _BEGINS_S + 300 else kind](rng, n)
        made.append(request("flooder", ts, request_id=f"f{n}", **told))
    for n in range(int(_LASTS_S / 60)):
        for person in range(4):
            ts = _BEGINS_S + 60 * n + 13 * person + rng.random()
            pair = f"pair_{int(rng.paretovariate(0.6))}"
            made.append(
                request(f"person_{person}", ts, request_id=f"p{person}.{n}", pair_ids=[pair])
            )
    return sorted(made, key=lambda one: one.ts)


@cache
def judged(kind: str) -> Partition:
    return _judge(kind)


@cache
def judged_in_full(kind: str) -> Partition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_module, "NEEDED_PER_MINUTE", 10**9)
        return _judge(kind)


def _judge(kind: str) -> Partition:
    partition = Partition()
    partition.observe(peers())
    partition.observe(flooded(kind))
    return partition


def about(partition: Partition, *, flooder: bool) -> list[Decision]:
    return [one for one in partition.decisions if (one.value == "flooder") is flooder]


def in_force(decisions: list[Decision], moment: str) -> int:
    """Return how severe what is in force is; as RFC 3339, times compare as text."""
    begun = [one for one in decisions if one.issued_at <= moment < (one.expires_at or "")]
    return max((_SEVERITY[one.action] for one in begun), default=0)


@pytest.mark.parametrize("kind", _KINDS)
def test_decisions_about_a_flood_are_the_same_and_what_holds_is_never_less(kind: str) -> None:
    found, expected = (
        about(partition, flooder=True) for partition in (judged(kind), judged_in_full(kind))
    )
    actions = [one.action for one in expected]
    assert [one.action for one in found] == actions
    # Generating on is evidence of one kind, which prolongs no ban.
    assert actions.count("ban") > (kind != "generates")
    # Before a ban nothing is left out; its prolonging may fall a few looks earlier or later.
    first = actions.index("ban") + 1
    assert found[:first] == expected[:first]
    for one in expected:
        assert in_force(found, one.issued_at) >= in_force(expected, one.issued_at)


@pytest.mark.parametrize("kind", _KINDS)
def test_nothing_changes_for_others(kind: str) -> None:
    found, expected = judged(kind), judged_in_full(kind)
    assert about(found, flooder=False) == about(expected, flooder=False)
    for name in (f"person_{n}" for n in range(90)):
        assert found.profile(name).to_bytes() == expected.profile(name).to_bytes()
    assert found.known()["readers"] == expected.known()["readers"]


def test_every_request_of_a_flood_is_counted() -> None:
    found, expected = judged("generates").profile("flooder"), judged_in_full("generates")
    assert (
        found.windows[-1].to_wire(CHOICES)[:3]
        == expected.profile("flooder").windows[-1].to_wire(CHOICES)[:3]
    )


def test_a_flood_is_judged_in_full_once_a_second_and_told_of_as_excess() -> None:
    partition = Partition()
    partition.observe(peers())
    seen = partition.observe(flooded("copies on"))
    assert seen.judged == len(flooded("copies on"))
    mine = sum(one.account_id == "flooder" for one in flooded("copies on"))
    assert 0.3 * mine < seen.excess < 0.5 * mine


def test_nobody_without_a_ban_is_ever_in_excess() -> None:
    partition = Partition()
    partition.observe(peers())
    generated = [
        request("busy", _BEGINS_S + n / 10, action="generate", pair_ids=[f"own_{n}"])
        for n in range(3_000)
    ]
    seen = partition.observe(generated)
    assert {one.action for one in seen.decisions} == {"throttle"}
    assert seen.excess == 0


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_flood_cut_anywhere_and_continued_from_snapshots_gives_the_same(seed: int) -> None:
    rng, partition, at = random.Random(seed), Partition(), 0
    log = [*peers(), *flooded("copies on")]
    while at < len(log):
        size = rng.choice((1, 700, 5_000))
        partition.observe(log[at : at + size])
        at += size
        partition.checkpoint()
        if rng.random() < 0.5:
            partition.restart()
    assert partition.decisions == judged("copies on").decisions
    assert partition.known() == judged("copies on").known()
