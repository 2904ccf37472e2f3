"""The ladder: throttle, longer, ban; never the same twice, and down again by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.policy import BAN_S, THROTTLE_S, THROTTLE_S_MAX, Finding, Standing, decide

NOW_S = 1.7e9
NOTHING = Finding(throttle=False, ban=False, kinds=0, warm=True)
MILD = Finding(throttle=True, ban=False, kinds=1, warm=True)
GRAVE = Finding(throttle=True, ban=True, kinds=2, warm=True)

findings = st.builds(
    Finding,
    throttle=st.booleans(),
    ban=st.booleans(),
    kinds=st.integers(0, 3),
    warm=st.booleans(),
)


def after(standing: Standing, finding: Finding, now_s: float) -> Standing:
    order = decide(standing, finding, now_s)
    return standing if order is None else standing.follow(order, now_s)


def test_nothing_is_asked_for_without_a_reason() -> None:
    assert decide(Standing(), NOTHING, NOW_S) is None


def test_the_first_throttle_is_an_hour() -> None:
    standing = after(Standing(), MILD, NOW_S)
    assert (standing.action, standing.expires_s) == ("throttle", NOW_S + THROTTLE_S)
    assert (standing.revision, standing.strikes) == (1, 1)


def test_a_throttle_in_force_is_not_repeated_but_extended_once_half_of_it_has_passed() -> None:
    standing = after(Standing(), MILD, NOW_S)
    assert decide(standing, MILD, NOW_S + THROTTLE_S / 2 - 1) is None
    longer = decide(standing, MILD, NOW_S + THROTTLE_S / 2)
    assert longer is not None
    assert longer.expires_s > standing.expires_s + THROTTLE_S


def test_a_throttle_gives_way_to_a_ban_at_once_and_never_the_other_way_round() -> None:
    throttled = after(Standing(), MILD, NOW_S)
    banned = after(throttled, GRAVE, NOW_S + 1)
    assert (banned.action, banned.expires_s) == ("ban", NOW_S + 1 + BAN_S)
    assert decide(banned, MILD, NOW_S + BAN_S) is None
    assert after(banned, MILD, NOW_S + 1 + BAN_S).action == "throttle"


@pytest.mark.parametrize(
    "short_of_it",
    [
        Finding(throttle=True, ban=True, kinds=1, warm=True),
        Finding(throttle=True, ban=True, kinds=2, warm=False),
        Finding(throttle=True, ban=False, kinds=3, warm=True),
    ],
)
def test_a_ban_wants_its_level_two_kinds_of_evidence_and_known_peers(short_of_it: Finding) -> None:
    assert after(Standing(), GRAVE, NOW_S).action == "ban"
    assert after(Standing(), short_of_it, NOW_S).action == "throttle"


def test_throttles_grow_with_each_strike_up_to_a_day() -> None:
    standing, now_s, lengths = Standing(), NOW_S, []
    for _ in range(12):
        standing = after(standing, MILD, now_s)
        lengths.append(standing.expires_s - now_s)
        now_s = (standing.issued_s + standing.expires_s) / 2
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[-1] == THROTTLE_S_MAX


def test_strikes_are_forgiven() -> None:
    standing = after(Standing(), MILD, NOW_S)
    assert standing.strikes_at(NOW_S) == 1
    assert standing.strikes_at(NOW_S + 2 * 86_400) == pytest.approx(0.5)
    order = decide(standing, MILD, NOW_S + 60 * 86_400)
    assert order is not None
    assert order.expires_s - (NOW_S + 60 * 86_400) == pytest.approx(THROTTLE_S, rel=0.001)


@given(st.lists(st.tuples(findings, st.floats(0, 2 * 86_400)), max_size=40))
def test_whatever_is_found_when_orders_end_grow_graver_and_are_counted(
    story: list[tuple[Finding, float]],
) -> None:
    standing, now_s = Standing(), NOW_S
    for finding, later_s in story:
        now_s += later_s
        before, standing = standing, after(standing, finding, now_s)
        if standing is before:
            continue
        assert standing.revision == before.revision + 1
        assert now_s < standing.expires_s <= now_s + max(THROTTLE_S_MAX, BAN_S)
        assert 1 <= standing.strikes < 10
        if before.in_force(now_s):
            assert standing.expires_s > before.expires_s
            assert (before.action, standing.action) != ("ban", "throttle")
