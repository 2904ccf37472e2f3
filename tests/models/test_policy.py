"""The ladder: throttle, longer, ban; never the same twice, and down again by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.policy import (
    BAN_S,
    BAN_S_MAX,
    LEEWAY_MAX,
    THROTTLE_S,
    THROTTLE_S_MAX,
    Finding,
    Standing,
    decide,
)

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
    ignored=st.booleans(),
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
    assert banned.action == "ban"
    assert banned.expires_s == pytest.approx(NOW_S + 1 + 2 * BAN_S, rel=1e-4)  # the second strike
    assert decide(banned, MILD, banned.expires_s - 1) is None
    assert after(banned, MILD, banned.expires_s).action == "throttle"


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


def test_bans_grow_from_hours_to_days() -> None:
    standing, now_s, lengths = Standing(), NOW_S, []
    for _ in range(8):
        standing = after(standing, GRAVE, now_s)
        lengths.append(standing.expires_s - now_s)
        now_s = standing.expires_s
    assert lengths[0] == BAN_S < 86_400
    assert max(lengths) > 86_400


def test_ignoring_a_throttle_climbs_at_once_and_is_evidence_of_its_own_kind() -> None:
    throttled = after(Standing(), MILD, NOW_S)
    ignoring = Finding(throttle=False, ban=False, kinds=0, warm=True, ignored=True)
    assert decide(Standing(), ignoring, NOW_S) is None
    longer = decide(throttled, ignoring, NOW_S + 60)
    assert longer is not None
    assert longer.action == "throttle"
    assert longer.expires_s > throttled.expires_s
    one_kind = Finding(throttle=True, ban=True, kinds=1, warm=True, ignored=True)
    assert after(throttled, one_kind, NOW_S + 60).action == "ban"


def test_a_release_ends_what_is_in_force_and_counts_as_a_revision() -> None:
    banned = after(after(Standing(), MILD, NOW_S), GRAVE, NOW_S + 1)
    released = banned.release(NOW_S + 60)
    assert not released.in_force(NOW_S + 60)
    assert released.revision == banned.revision + 1


def test_feedback_changes_how_far_an_account_may_go_and_how_fast_it_climbs() -> None:
    throttled = after(Standing(), MILD, NOW_S)
    wronged = throttled
    for _ in range(10):
        wronged = wronged.judged_wrong()
    assert throttled.leeway < wronged.leeway == LEEWAY_MAX
    assert wronged.strikes == 0
    right = wronged.judged_right()
    assert right.leeway == 1
    assert right.strikes > wronged.strikes


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
        assert now_s < standing.expires_s <= now_s + max(THROTTLE_S_MAX, BAN_S_MAX)
        assert 1 <= standing.strikes < 10
        if before.in_force(now_s):
            assert standing.expires_s > before.expires_s
            assert (before.action, standing.action) != ("ban", "throttle")


def test_a_flood_against_a_ban_as_long_as_bans_get_is_not_told_so_again_and_again() -> None:
    refused = Finding(throttle=True, ban=True, kinds=2, warm=True, ignored=True)
    standing, told = Standing(), 0
    for at in range(20_000):  # a hundred refusals a second, for more than five hours
        order = decide(standing, refused, NOW_S + at)
        if order is not None:
            standing, told = standing.follow(order, NOW_S + at), told + 1
    assert told <= 8
