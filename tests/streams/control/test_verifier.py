"""A control message counts if its signature, its time and its nonce do; the log alone decides."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.notices import Control
from streams import settings
from streams.control import verifier
from streams.control.messages import RefusedControl, decode, encode
from streams.control.verifier import SKEW_S_MAX, WINDOW_S, Verifier
from streams.settings_reader import Secret
from tests.control import KEY, NOW_S, OTHER_KEY, SECRET, said, signed

SETTINGS = settings.Control(key_id="ops-2024", key=Secret(SECRET))
MONTH_S = 30 * 86_400.0


def answer(of: Verifier, message: Control, arrived_s: float = NOW_S) -> str:
    try:
        return of.check(decode(encode(message)), arrived_s)
    except RefusedControl as refused:
        return refused.reason


@pytest.fixture
def two_keys(tmp_path: Path) -> settings.Control:
    """Two keys; the one that signs is `OTHER_KEY`."""
    path = tmp_path / "keys"
    path.write_text(f"ops-2025 {OTHER_KEY.secret.decode()}\nops-2024 {SECRET}\n")
    return settings.Control(keys_file=str(path))


# The signature.


def test_a_signed_message_is_accepted() -> None:
    assert answer(Verifier(SETTINGS), signed(1)) == "accepted"


def test_an_unsigned_message_is_refused() -> None:
    assert answer(Verifier(SETTINGS), said()) == "unsigned"


def test_a_message_signed_with_a_key_that_nobody_gave_out_is_refused() -> None:
    assert answer(Verifier(SETTINGS), signed(1, key=OTHER_KEY)) == "unknown-key"


def test_without_any_key_nothing_is_accepted() -> None:
    assert answer(Verifier(settings.Control()), signed(1)) == "unknown-key"
    assert answer(Verifier(settings.Control()), said()) == "unsigned"


def test_a_message_that_was_changed_is_refused() -> None:
    forged = msgspec.structs.replace(signed(1), by="somebody else")
    assert answer(Verifier(SETTINGS), forged) == "bad-signature"


def test_unsigned_messages_are_accepted_on_request_but_wrong_signatures_never() -> None:
    lenient = Verifier(msgspec.structs.replace(SETTINGS, accept_unsigned=True))
    assert answer(lenient, said()) == "accepted"
    assert answer(lenient, said()) == "repeated"
    assert answer(lenient, said(why="another")) == "replayed"
    assert answer(lenient, msgspec.structs.replace(signed(1), by="x")) == "bad-signature"


def test_old_and_new_keys_are_accepted_side_by_side(two_keys: settings.Control) -> None:
    both = Verifier(two_keys)
    assert answer(both, signed(1)) == "accepted"
    assert answer(both, signed(2, key=OTHER_KEY)) == "accepted"


# Its time.


@pytest.mark.parametrize(
    ("off_s", "told"),
    [
        (0.0, "accepted"),
        (-SKEW_S_MAX, "accepted"),
        (SKEW_S_MAX, "accepted"),
        (-SKEW_S_MAX - 1, "too-old"),
        (SKEW_S_MAX + 1, "too-far-ahead"),
    ],
)
def test_a_message_is_held_against_the_time_at_which_it_reached_kafka(
    off_s: float, told: str
) -> None:
    assert answer(Verifier(SETTINGS), signed(1, at_s=NOW_S + off_s)) == told


def test_a_record_without_a_timestamp_is_refused() -> None:
    assert answer(Verifier(SETTINGS), signed(1), arrived_s=-0.001) == "too-far-ahead"


def test_operators_whose_clocks_differ_are_both_heard() -> None:
    both = Verifier(SETTINGS)
    assert answer(both, signed(1, at_s=NOW_S + SKEW_S_MAX)) == "accepted"
    assert answer(both, signed(2, at_s=NOW_S - SKEW_S_MAX)) == "accepted"


# What was said before.


def test_the_same_message_again_is_a_repeat() -> None:
    once = Verifier(SETTINGS)
    assert [answer(once, signed(1)) for _ in range(3)] == ["accepted", "repeated", "repeated"]


def test_another_message_under_a_used_id_or_nonce_is_refused() -> None:
    once = Verifier(SETTINGS)
    assert answer(once, signed(1)) == "accepted"
    assert answer(once, signed(2, id="c_1")) == "replayed"
    assert answer(once, signed(1, id="c_2")) == "replayed"


def test_an_old_message_sent_again_is_refused_whatever_its_record_says() -> None:
    once = Verifier(SETTINGS)
    month_ago_s = NOW_S - MONTH_S
    assert answer(once, signed(1, at_s=month_ago_s), month_ago_s) == "accepted"
    assert answer(once, signed(1, at_s=month_ago_s), NOW_S) == "too-old"
    # Nobody has spoken since: it is still remembered.
    assert answer(once, signed(1, at_s=month_ago_s), month_ago_s) == "repeated"
    assert answer(once, signed(2)) == "accepted"
    assert answer(once, signed(1, at_s=month_ago_s), month_ago_s) == "too-old"


def test_whoever_has_no_key_can_t_make_later_messages_too_old() -> None:
    once = Verifier(SETTINGS)
    later_s = NOW_S + MONTH_S
    assert answer(once, signed(1, at_s=later_s, key=OTHER_KEY), later_s) == "unknown-key"
    assert answer(once, signed(2, at_s=later_s), NOW_S) == "too-far-ahead"
    assert answer(once, signed(3)) == "accepted"


def test_a_key_that_a_wrong_clock_has_spoilt_can_be_replaced(two_keys: settings.Control) -> None:
    both = Verifier(two_keys)
    later_s = NOW_S + MONTH_S
    assert answer(both, signed(1, at_s=later_s), later_s) == "accepted"
    assert answer(both, signed(2)) == "too-old"
    assert answer(both, signed(3, key=OTHER_KEY)) == "accepted"


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "REMEMBERED_MAX", 4)
    few = Verifier(SETTINGS)
    assert [answer(few, signed(n)) for n in range(3)] == ["accepted", "accepted", "too-many"]
    assert answer(few, signed(0)) == "repeated"
    # Once the window has moved on there is room again.
    later_s = NOW_S + WINDOW_S + 1
    assert answer(few, signed(4, at_s=later_s), later_s) == "accepted"


STEPS = st.tuples(st.integers(0, 9), st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.booleans())


@given(st.lists(STEPS, max_size=40), st.integers(0, 40))
def test_a_worker_that_starts_anywhere_gives_the_answers_of_one_that_never_stopped(
    steps: list[tuple[int, float, float, bool]], cut: int
) -> None:
    log = []
    for i, (number, off, late, is_ours) in enumerate(steps):
        at_s = NOW_S + i * 120 + off * SKEW_S_MAX
        key = KEY if is_ours else OTHER_KEY
        log.append((signed(number, at_s=at_s, key=key), at_s + late * SKEW_S_MAX))
    log += log[::3]
    whole, again = Verifier(SETTINGS), Verifier(SETTINGS)
    answers = [answer(whole, *each) for each in log]
    for each in log[:cut]:
        answer(again, *each)
    assert [answer(again, *each) for each in log[cut:]] == answers[cut:]


@given(st.lists(STEPS, max_size=40))
def test_no_message_is_ever_accepted_twice(steps: list[tuple[int, float, float, bool]]) -> None:
    once = Verifier(SETTINGS)
    accepted = []
    for i, (number, off, late, again) in enumerate(steps):
        at_s = NOW_S + i * 120 + off * SKEW_S_MAX
        message = accepted[number % len(accepted)] if again and accepted else signed(i, at_s=at_s)
        # An attacker with write access chooses the record's time as it suits them.
        arrived_s = message.issued_s + late * SKEW_S_MAX
        if answer(once, message, arrived_s) == "accepted":
            assert message not in accepted
            accepted.append(message)
