"""A profile is small whatever its account does, and its windows begin and end on time."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import RUNGS
from models.hashing import pack_hashes
from models.profile import Profile, StateVersionError
from models.recent import GENERATION
from models.request import LINKS_MAX
from models.scenarios import SCENARIOS
from models.signals import CODES, DAY_S, HOUR_S, MINUTE_S, SCALES_S, pack_rungs
from models.window import CHOICES, EVIDENCE, LOAD, NEW_PAIRS, PASSED, PATIENCE
from tests.models.traffic import MIDNIGHT_S, Partition, request

BYTES_MAX = 2_048
WIDE = "\U0001f600"


def profile_at(*times: float) -> Profile:
    profile = Profile(times[0], 0)
    for ts in times:
        if profile.begins_day(ts):
            profile.close_day(ts, learn=True)
        profile.count(ts, 1, 1.0, 0.0, 0, 0.0)
    return profile


def counts(profile: Profile) -> list[float]:
    return [window.requests for window in profile.windows]


def test_a_profile_takes_at_most_two_kilobytes_whatever_its_account_does() -> None:
    rng, partition, largest, ts = random.Random(1), Partition(), 0, MIDNIGHT_S + 0.123
    account = WIDE * 128
    for n in range(3_000):
        ts += rng.choice((0.01, 1.0, 60.0, 250.0)) + rng.random()
        partition.observe(
            [
                request(
                    account,
                    ts + rng.choice((0, 0, 0, -30, -9_000, 3_600)) * rng.random(),
                    request_id=WIDE * rng.choice((1, 30, 120)) + f"{n - n % 7:08d}",
                    action=rng.choice(("view", "list", "download", "generate")),
                    pair_ids=[WIDE * 100 + str(rng.random()) for _ in range(rng.choice((1, 300)))],
                )
            ]
        )
        if n % 20 == 0:
            partition.checkpoint()
            largest = max(largest, len(partition.profiles[account]))
    assert partition.decisions
    assert 1_500 < largest <= BYTES_MAX


def test_a_profile_with_every_field_at_its_longest_fits() -> None:
    rng, profile = random.Random(2), Profile(1.7e9 + 0.1, 0)
    for _ in range(1_000_000 // 1_000):
        profile.see_pairs([rng.getrandbits(64) for _ in range(1_000)], today=True)
    for n in range(2 * GENERATION):
        profile.recent.admit(str(n), 1.7e9 + n / 7)
    for n in range(12):
        profile.add_sample(f"{n:08d}")
    third = 1 / 3
    for window, last in zip(profile.windows, (EVIDENCE, PASSED, PATIENCE), strict=True):
        window.restore([MIDNIGHT_S, 2**32 - 1, third, third, 2**32 - 1, third], last)
        for place in (LOAD, NEW_PAIRS, CHOICES, last):
            window.heights.put(place, third)
            window.raise_height(place, third)
    profile.reached = dict.fromkeys(CODES[:13], 120)
    profile.chosen_s, profile.chosen_number, profile.returned_to = third, 10**15 - 1, 2**32 - 1
    profile.gap_s = DAY_S - 0.001
    profile.rare = profile.rare_height = profile.read = third
    for habit in (profile.habit_requests, profile.habit_choices):
        for n in range(400):
            habit.learn_one(n)
    profile.standing = msgspec.structs.replace(
        profile.standing,
        revision=2**20,
        action="throttle",
        issued_s=third,
        expires_s=third,
        strikes=third,
        decision_id=bytes(16),
        scenario=max((scenario.name for scenario in SCENARIOS), key=len),
        refused=2**32 - 1,
        leeway=third,
        links=pack_hashes(["link"] * (LINKS_MAX + 2)),
        address="2001:0db8:85a3:08d3:1319:8a2e:255.255.255.255",
        group=2**32 - 1,
        peaks=pack_rungs(dict.fromkeys(CODES, RUNGS - 1)),
        confirmed_day=2**16 - 1,
    )
    assert len(profile.to_bytes()) <= BYTES_MAX


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40))
def test_whatever_a_pairs_hash_is_the_sketches_keep_it_as_they_do_by_themselves(
    pairs: list[int],
) -> None:
    profile, expected = Profile(MIDNIGHT_S, 0), Profile(MIDNIGHT_S, 0).life
    profile.see_pairs(pairs, today=True)
    for pair in pairs:
        expected.update(pair)
    assert profile.life.serialize_compact() == expected.serialize_compact()


def test_the_first_event_begins_every_window_at_its_own_boundary() -> None:
    profile = profile_at(MIDNIGHT_S + 3 * HOUR_S + 125.5)
    starts = [window.start_s for window in profile.windows]
    assert starts == [MIDNIGHT_S + 3 * HOUR_S + 120, MIDNIGHT_S + 3 * HOUR_S, MIDNIGHT_S]
    assert counts(profile) == [1, 1, 1]


@pytest.mark.parametrize(("scale", "scale_s"), list(enumerate(SCALES_S)))
def test_a_window_holds_its_beginning_and_not_its_end(scale: int, scale_s: int) -> None:
    inside = profile_at(MIDNIGHT_S, MIDNIGHT_S + scale_s - 0.001)
    assert counts(inside)[scale] == 2
    beyond = profile_at(MIDNIGHT_S, MIDNIGHT_S + scale_s)
    assert counts(beyond)[scale] == 1
    assert beyond.windows[scale].start_s == MIDNIGHT_S + scale_s


def test_a_day_ends_at_midnight_utc_and_becomes_habit() -> None:
    profile = profile_at(MIDNIGHT_S - 1, MIDNIGHT_S - 0.5)
    assert not profile.begins_day(MIDNIGHT_S - 0.001)
    assert profile.begins_day(MIDNIGHT_S)
    profile.close_day(MIDNIGHT_S, learn=True)
    assert profile.habit_requests.usual == pytest.approx(2)
    assert profile.pairs_today == 0


def test_a_suspect_day_becomes_no_habit() -> None:
    profile = profile_at(MIDNIGHT_S)
    profile.close_day(MIDNIGHT_S + DAY_S, learn=False)
    assert profile.habit_requests.days == 0


def test_evidence_fades_with_every_day_away() -> None:
    profile = profile_at(MIDNIGHT_S)
    profile.rare = 100.0
    profile.close_day(MIDNIGHT_S + 7 * DAY_S, learn=True)
    assert 45 < profile.rare < 50


def test_an_hour_of_skew_makes_no_crowd() -> None:
    # Two gateways, one an hour ahead, share a steady request a second.
    steady = [MIDNIGHT_S + n for n in range(2 * HOUR_S)]
    skewed = [ts + (HOUR_S if n % 2 else 0) for n, ts in enumerate(steady)]
    for n in range(100, len(steady), 97):
        assert counts(profile_at(*skewed[n - 100 : n]))[0] <= MINUTE_S


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 2 * DAY_S), min_size=1, max_size=60))
def test_no_window_counts_more_than_there_was_nor_moves_back(offsets: list[float]) -> None:
    profile, latest = Profile(MIDNIGHT_S, 0), [float("-inf")] * len(SCALES_S)
    for n, offset_s in enumerate(offsets):
        profile.count(MIDNIGHT_S + offset_s, 1, 1.0, 0.0, 0, 0.0)
        starts = [window.start_s for window in profile.windows]
        assert all(now >= then for now, then in zip(starts, latest, strict=True))
        assert max(counts(profile)) <= n + 1
        latest = starts


def test_new_pairs_are_counted_once_in_a_life() -> None:
    profile, pairs = Profile(MIDNIGHT_S, 0), [random.Random(n).getrandbits(64) for n in range(50)]
    assert profile.see_pairs(pairs, today=True) == pytest.approx(50)
    profile.close_day(MIDNIGHT_S + DAY_S, learn=True)
    assert profile.see_pairs(pairs, today=True) == 0
    assert profile.pairs_today == 50


def test_evidence_never_falls_below_zero_and_its_reads_begin_anew_there() -> None:
    profile = Profile(MIDNIGHT_S, 0)
    for evidence in (5.0, 5.0, -50.0):
        profile.weigh(evidence)
    assert (profile.rare, profile.read) == (0, 0)
    profile.weigh(5.0)
    assert (profile.rare, profile.read) == (5, 1)


def test_what_was_passed_over_counts_until_a_pair_is_opened_and_within_the_hour() -> None:
    profile = Profile(MIDNIGHT_S, 0)
    for n in range(3):
        profile.count(MIDNIGHT_S + n, 1, 1.0, 40.0, 0, 0.0)
    assert profile.windows[1].passed == 120
    profile.count(MIDNIGHT_S + 3, 1, 1.0, 0.0, 0, 0.0)
    assert profile.windows[1].passed == 120
    profile.count(MIDNIGHT_S + 4, 1, 1.0, 1.0, 1, 0.0)
    assert profile.windows[1].passed == 0
    profile.count(MIDNIGHT_S + 5, 1, 1.0, 40.0, 0, 0.0)
    profile.count(MIDNIGHT_S + HOUR_S, 1, 1.0, 30.0, 0, 0.0)
    assert profile.windows[1].passed == 30


def test_patience_goes_on_all_day_and_never_falls_below_zero() -> None:
    profile = Profile(MIDNIGHT_S, 0)
    said = [(-5.0, 0.0), (4.0, 4.0), (3.0, 7.0), (-2.0, 5.0), (-9.0, 0.0), (6.0, 6.0)]
    for n, (patience, sum_of_it) in enumerate(said):
        profile.count(MIDNIGHT_S + n * HOUR_S, 1, 1.0, 1.0, 1, 0.0, patience)
        assert profile.windows[-1].patience == sum_of_it


def test_samples_are_the_latest_and_few() -> None:
    profile = Profile(MIDNIGHT_S, 0)
    for n in range(100):
        profile.add_sample(f"r{n}")
    assert profile.samples == [f"r{n}" for n in range(90, 100)]
    profile.add_sample(WIDE * 128)
    assert profile.samples == []


def test_state_of_a_newer_version_is_refused_by_name() -> None:
    fields = msgspec.msgpack.decode(Profile(MIDNIGHT_S, 0).to_bytes())
    fields[0] += 1
    with pytest.raises(StateVersionError, match="profile of version 4; this pairwatch knows up to"):
        Profile.from_bytes(msgspec.msgpack.encode(fields), 0)
