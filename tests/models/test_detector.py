"""Decisions are a function of the log: not of batches, restarts, repeats or processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import DetectionConfig
from models.decision import Decision
from models.request import Request
from models.window import CHOICES
from tests.contract import assert_valid_decision
from tests.models.traffic import (
    DAY_S,
    HOUR_S,
    MIDNIGHT_S,
    Partition,
    in_order,
    request,
    traffic,
    views,
)


@cache
def log() -> list[Request]:
    return traffic(1)


@cache
def judged() -> Partition:
    partition = Partition()
    partition.observe(log())
    return partition


@cache
def known() -> dict[str, object]:
    return judged().known()


def issued_s(decision: Decision) -> float:
    return datetime.fromisoformat(decision.issued_at).timestamp()


def expires_s(decision: Decision) -> float:
    assert decision.expires_at is not None
    return datetime.fromisoformat(decision.expires_at).timestamp()


def test_copiers_are_throttled_and_banned_a_flood_is_throttled_and_people_are_left_alone() -> None:
    seen = {(decision.value, decision.action) for decision in judged().decisions}
    assert {("copier", "throttle"), ("copier", "ban"), ("patient", "throttle")} <= seen
    assert ("flood", "throttle") in seen
    assert {account for account, _ in seen} == {"copier", "patient", "flood"}


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_log_cut_anywhere_and_continued_from_snapshots_gives_the_same(seed: int) -> None:
    rng, partition, at = random.Random(seed), Partition(), 0
    while at < len(log()):
        size = rng.choice((1, 7, 100, 700, 1_500))
        partition.observe(log()[at : at + size])
        at += size
        partition.checkpoint()
        assert partition.detector.trim(rng.choice((0, 10))) is not None
        if rng.random() < 0.5:
            partition.restart()
    assert partition.decisions == judged().decisions
    assert partition.known() == known()


@settings(max_examples=4, deadline=None)
@given(size=st.integers(1, 3_000))
def test_the_size_of_batches_changes_nothing(size: int) -> None:
    partition = Partition()
    for at in range(0, len(log()), size):
        partition.observe(log()[at : at + size])
    assert partition.decisions == judged().decisions
    assert partition.known() == known()


def test_what_was_judged_after_the_last_snapshot_is_judged_the_same_again() -> None:
    partition, half = Partition(), len(log()) // 2
    partition.observe(log()[:half])
    partition.checkpoint()
    lost = partition.observe(log()[half:]).decisions
    assert lost
    partition.restart()
    partition.offset = half
    assert partition.observe(log()[half:]).decisions == lost


def test_no_trimmed_account_is_forgotten() -> None:
    partition = Partition()
    partition.observe(log())
    before = partition.known()
    everybody = partition.detector.live_accounts
    assert len(partition.detector.trim(0)) == everybody
    assert partition.detector.live_accounts == 0
    # Each account's first request once more: all profiles are loaded, and none learns from it.
    first = list({one.account_id: one for one in reversed(log())}.values())
    assert partition.observe(first).judged == 0
    assert partition.detector.live_accounts == everybody
    assert partition.known() == before


def test_an_account_that_changed_since_the_snapshot_is_not_trimmed() -> None:
    partition = Partition()
    partition.observe([request("a"), request("b")])
    partition.checkpoint()
    partition.observe([request("b", MIDNIGHT_S + 1)])
    assert partition.detector.trim(0) == ["a"]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_repeats_of_recent_requests_change_nothing_at_all(seed: int) -> None:
    rng, partition, repeats = random.Random(seed), Partition(), 0
    once, repeated = 0, []
    for place, one in enumerate(log()):
        repeated.append((one, place))
        if rng.random() < 0.1:
            # Whatever of the last fifty is repeated, its account remembers it.
            repeated.append((log()[max(place - rng.randrange(50), 0)], place))
            repeats += 1
    for one, place in repeated:
        seen = partition.detector.observe([one], [place])
        partition.decisions += seen.decisions
        once += seen.judged + seen.late
    assert partition.decisions == judged().decisions
    assert partition.known() == known()


def test_a_repeat_of_what_was_forgotten_long_ago_changes_no_count() -> None:
    partition = Partition()
    mine = views("a", MIDNIGHT_S, 60, (f"pair_{n}" for n in range(400)))
    partition.observe(mine)
    partition.observe(views("b", MIDNIGHT_S, 60, (f"pair_{n}" for n in range(200))))
    before, readers = partition.profile("a"), partition.known()["readers"]
    seen = partition.observe(mine[:200])
    after = partition.profile("a")
    assert (seen.judged, seen.late) == (0, 200)
    assert after.to_bytes() == before.to_bytes()
    assert after.life.serialize_compact() == before.life.serialize_compact()
    assert partition.known()["readers"] == readers


def test_a_repeat_of_yesterday_is_no_pair_of_today() -> None:
    partition = Partition()
    yesterday = views("a", MIDNIGHT_S, 60, (f"pair_{n}" for n in range(1_000)))
    partition.observe(yesterday)
    partition.observe([request("a", MIDNIGHT_S + DAY_S, pair_ids=["pair_9"])])
    assert partition.observe(yesterday[:300]).late == 300
    assert partition.profile("a").pairs_today == 1


def test_requests_of_one_account_never_change_what_is_kept_of_another() -> None:
    partition = Partition()
    partition.observe(log()[:3_000])
    partition.checkpoint()
    partition.observe([one for one in log()[3_000:] if one.account_id == "copier"])
    assert partition.detector.snapshot().profiles.keys() == {"copier"}
    live = partition.detector._profiles
    others = partition.profiles.keys() - {"copier"}
    assert len(others) > 50
    assert all(live[name].to_bytes() == partition.profiles[name] for name in others)


def test_what_an_account_did_counts_the_same_whoever_else_was_there() -> None:
    together = judged()
    for account in ("person_4", "copier", "flood"):
        alone = Partition()
        alone.observe([one for one in log() if one.account_id == account])
        mine, theirs = alone.profile(account), together.profile(account)
        # Requests, their load and new pairs; choices ask who else has read a pair.
        assert [w.to_wire(CHOICES)[:4] for w in mine.windows] == [
            w.to_wire(CHOICES)[:4] for w in theirs.windows
        ]
        assert mine.recent.to_wire() == theirs.recent.to_wire()
        assert mine.life_pairs == theirs.life_pairs


_IN_A_PROCESS = """
import hashlib, msgspec
from tests.models.traffic import Partition, traffic
partition = Partition()
partition.observe(traffic(1, honest=30, days=3))
partition.checkpoint()
told = msgspec.json.encode([partition.decisions, partition.profiles, partition.population])
print(len(partition.decisions), hashlib.blake2b(told).hexdigest())
"""


def test_every_process_decides_alike_whatever_its_hash_seed() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(told) == 1
    assert int(told.pop().split()[0]) > 0


def test_every_decision_keeps_the_contract() -> None:
    assert len(judged().decisions) > 5
    for decision in judged().decisions:
        assert_valid_decision(decision)


def test_revisions_grow_by_one_for_each_subject() -> None:
    revisions: dict[str, list[int]] = {}
    for decision in judged().decisions:
        revisions.setdefault(decision.key, []).append(decision.revision)
    assert max(map(len, revisions.values())) > 1
    assert all(found == list(range(1, len(found) + 1)) for found in revisions.values())


def test_every_decision_ends_after_it_begins_and_has_an_id_of_its_own() -> None:
    decisions = judged().decisions
    assert all(expires_s(decision) > issued_s(decision) for decision in decisions)
    assert len({decision.decision_id for decision in decisions}) == len(decisions)


def test_the_evidence_ends_after_it_begins_also_where_a_late_request_tips_the_balance() -> None:
    partition = Partition()
    partition.observe(
        [
            request("a", MIDNIGHT_S + DAY_S + 0.5, pair_ids=["pair_x"]),
            *views("a", MIDNIGHT_S + DAY_S - 50, 0.01, (f"pair_{n}" for n in range(3_000))),
        ]
    )
    assert partition.decisions
    for decision in partition.decisions:
        assert decision.evidence.window_start <= decision.evidence.window_end


def test_reasons_stand_strongest_first_and_their_weights_make_a_whole() -> None:
    for decision in judged().decisions:
        weights = [reason.weight for reason in decision.reasons]
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=0.0005 * len(weights))


def test_a_decision_names_the_request_that_tipped_the_balance() -> None:
    for decision in judged().decisions:
        source = decision.evidence.source
        cause = log()[source.offset]
        assert (source.topic, source.partition) == ("requests", 0)
        assert cause.account_id == decision.value
        assert cause.request_id in decision.evidence.sample_request_ids


def test_shadow_and_enforcement_decide_alike_but_for_the_mark() -> None:
    enforcing = Partition(DetectionConfig(mode="enforce"))
    enforcing.observe(log())
    assert {decision.simulated for decision in enforcing.decisions} == {False}
    assert {decision.simulated for decision in judged().decisions} == {True}
    assert [decision.decision_id for decision in enforcing.decisions] == [
        decision.decision_id for decision in judged().decisions
    ]


def test_a_scenario_has_a_mode_of_its_own() -> None:
    partition = Partition(DetectionConfig(mode="shadow", scenarios={"request-flood": "enforce"}))
    partition.observe(log())
    simulated = {(decision.scenario, decision.simulated) for decision in partition.decisions}
    assert ("request-flood", False) in simulated
    assert {mode for name, mode in simulated if name != "request-flood"} == {True}


@pytest.mark.parametrize("name", ["catalogue-sweep", "request-flood", "slow-drip"])
def test_a_scenario_that_is_switched_off_decides_nothing(name: str) -> None:
    partition = Partition(DetectionConfig(scenarios={name: "off"}))
    partition.observe(log())
    assert partition.decisions
    assert all(decision.scenario != name for decision in partition.decisions)


def test_with_every_scenario_switched_off_nothing_is_decided() -> None:
    names = ("catalogue-sweep", "request-flood", "slow-drip")
    partition = Partition(DetectionConfig(scenarios=dict.fromkeys(names, "off")))
    assert partition.observe(log()).decisions == []


@pytest.mark.parametrize("budget", [1e-12, 1_000.0])
def test_budgets_at_either_end_of_their_range_are_taken(budget: float) -> None:
    config = DetectionConfig(
        false_throttles_per_1000_account_days=budget,
        false_bans_per_100000_account_days=budget * 100,
        scenarios={"catalogue-sweep": "off", "request-flood": "off"},
    )
    Partition(config).observe(log()[:500])


def test_a_smaller_budget_asks_for_no_more_and_no_sooner() -> None:
    def first_seen(budget: float) -> dict[str, int]:
        partition = Partition(DetectionConfig(false_throttles_per_1000_account_days=budget))
        partition.observe(log())
        ends = reversed(partition.decisions)
        return {decision.value: decision.evidence.source.offset for decision in ends}

    small, usual, large = first_seen(0.01), first_seen(1), first_seen(100)
    assert small.keys() <= usual.keys() <= large.keys()
    assert all(at >= usual[account] for account, at in small.items())
    assert all(at >= large[account] for account, at in usual.items())
    assert small != usual != large


def test_nobody_is_banned_before_the_peers_are_known() -> None:
    partition = Partition()
    partition.observe(views("a", MIDNIGHT_S, 0.05, (f"pair_{n}" for n in range(20_000))))
    assert {decision.action for decision in partition.decisions} == {"throttle"}


def test_one_account_ahead_of_time_moves_no_time_for_others() -> None:
    people = views("b", MIDNIGHT_S, 20, [f"pair_{n % 7}" for n in range(100)])
    alone, beside = Partition(), Partition()
    alone.observe(people)
    ahead = views("a", MIDNIGHT_S + HOUR_S, 20, [f"other_{n}" for n in range(100)])
    for mine, theirs in zip(people, ahead, strict=True):
        beside.observe([theirs, mine])
    assert beside.profile("b").to_bytes() == alone.profile("b").to_bytes()


@pytest.mark.parametrize("ts", [-1e9, -0.5, 0.0, 0.5, 946_684_800.0])
def test_times_at_the_edge_of_what_a_clock_can_say_are_no_trouble(ts: float) -> None:
    partition = Partition()
    seen = partition.observe([request("a", ts + n, pair_ids=["p"]) for n in (0, 1, -1, 90_000)])
    assert seen.judged + seen.late == 4
    assert partition.profile("a").life_pairs == 1


_ODD = st.builds(
    Request,
    ts=st.floats(MIDNIGHT_S - DAY_S, MIDNIGHT_S + 2 * DAY_S),
    request_id=st.text(min_size=1, max_size=4),
    account_id=st.sampled_from(("a", "b", "\U0001f600" * 128)),
    action=st.sampled_from(("generate", "view", "download", "list", "search", "other")),
    pair_ids=st.lists(st.text(max_size=3), max_size=30),
    owner_id=st.sampled_from((None, "a", "b", "")),
    status=st.integers(-5, 700),
)


@settings(max_examples=60, deadline=None)
@given(requests=st.lists(_ODD, max_size=60), cut=st.integers(0, 60))
def test_any_requests_at_all_are_judged_and_survive_a_restart(
    requests: list[Request], cut: int
) -> None:
    whole, parts = Partition(), Partition()
    seen = whole.observe(requests)
    assert seen.judged + seen.late + seen.duplicate == len(requests)
    parts.observe(requests[:cut])
    parts.checkpoint()
    parts.restart()
    parts.observe(requests[cut:])
    assert parts.decisions == whole.decisions
    whole.checkpoint()
    parts.checkpoint()
    assert {name: in_order(data) for name, data in parts.profiles.items()} == {
        name: in_order(data) for name, data in whole.profiles.items()
    }


def test_made_up_accounts_of_one_request_make_a_suspect_of_nobody() -> None:
    partition, count = Partition(), 12_000
    made_up = [
        Request(MIDNIGHT_S + n / 5, f"r{n}", f"made-up-{n}", "view", [f"rare-{n}"])
        for n in range(count)
    ]
    partition.observe(made_up)
    assert not partition.decisions
