"""A repeat is known as one as long as it can be, and otherwise never taken for new."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from models.recent import GENERATION, LATENESS_S, RecentRequests


def test_the_first_request_is_new_and_its_repeat_is_not() -> None:
    recent = RecentRequests()
    assert recent.admit("a", 1_000.0) == "new"
    assert recent.admit("a", 1_000.0) == "duplicate"


@given(st.lists(st.floats(0, 3_000), min_size=1, max_size=400), st.data())
def test_a_repeat_is_never_new(times: list[float], data: st.DataObject) -> None:
    # Distinct times: of more than 64 requests in one instant the earliest may be forgotten.
    times = list(dict.fromkeys(times))
    recent = RecentRequests()
    for n, ts in enumerate(times):
        recent.admit(f"r{n}", 1e9 + ts)
        again = data.draw(st.integers(0, n)) if n % 10 == 0 else n
        assert recent.admit(f"r{again}", 1e9 + times[again]) != "new" or times[again] == max(
            times[: n + 1]
        )


def test_the_last_64_requests_are_remembered_whatever_their_order() -> None:
    rng, recent, sent = random.Random(1), RecentRequests(), []
    for n in range(1_000):
        ts = 1e9 + n + rng.uniform(-5, 5)
        if recent.admit(f"r{n}", ts) == "new":
            sent.append((f"r{n}", ts))
        assert all(recent.admit(*one) == "duplicate" for one in sent[-GENERATION:])


def test_requests_within_one_second_are_told_apart_by_their_ids() -> None:
    recent = RecentRequests()
    assert {recent.admit(f"r{n}", 1e9) for n in range(1_000)} == {"new"}


def test_an_event_out_of_order_is_new_while_nothing_of_its_time_is_forgotten() -> None:
    recent = RecentRequests()
    recent.admit("b", 1e9 + 100)
    assert recent.admit("a", 1e9) == "new"
    assert recent.admit("c", 1e9 + 100 - LATENESS_S - 1) == "late"


def test_what_is_too_late_is_not_remembered_and_moves_nothing() -> None:
    recent = RecentRequests()
    recent.admit("b", 1e9)
    before = recent.to_wire()
    assert recent.admit("a", 1e9 - 2 * LATENESS_S) == "late"
    assert recent.to_wire() == before
    assert recent.latest_s == 1e9
