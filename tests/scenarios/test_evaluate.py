"""The evaluator's arithmetic against hand-made cases, and the baselines against their names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.config import DetectionConfig
from models.request import Action, Request
from streams.simulate import Label, simulate
from streams.simulate.attacks.table import ATTACKS
from tests.scenarios.__main__ import main
from tests.scenarios.baselines import (
    FixedWindow,
    LeakyBucket,
    PairsADay,
    Trees,
    threshold_for,
)
from tests.scenarios.enforcement import Enforcement, Ruling
from tests.scenarios.evaluate import (
    BESIDE_ATTACKERS,
    Judge,
    Pairwatch,
    evaluate,
    evaluate_all,
)
from tests.scenarios.text import table
from tests.scenarios.worlds import plan

#: Monday 2024-02-26T00:00:00Z, a multiple of every window.
MIDNIGHT_S = 1_708_905_600.0
DAY_S = 86_400.0
HOUR_S = 3_600.0


@dataclass
class Script:
    """Traffic written by hand."""

    labels: list[Label]
    requests: list[Request]

    def events(self) -> Iterator[Request]:
        return iter(self.requests)


def honest(name: str, kind: str = "casual", group: str | None = None) -> Label:
    return Label(name, kind, True, None, group, None, None, 0, None)


def attacker(name: str, start_s: float = MIDNIGHT_S, group: str | None = None) -> Label:
    return Label(name, "fresh", False, "hand-made", group, start_s, start_s + DAY_S, 0, 1.0)


def read(
    name: str,
    at_s: float,
    *pairs: str,
    action: Action = "view",
    owner: str | None = "somebody",
    status: int = 200,
) -> Request:
    return Request(
        ts=MIDNIGHT_S + at_s,
        request_id=f"{name}/{at_s}",
        account_id=name,
        action=action,
        pair_ids=list(pairs),
        owner_id=owner,
        status=status,
    )


def copying(name: str, count: int, every_s: float = 1.0, start_s: float = 0.0) -> list[Request]:
    """One new pair with each request."""
    return [read(name, start_s + n * every_s, f"{name}-{n}") for n in range(count)]


def ruling_at(*rulings: Ruling) -> Judge:
    """Give each ruling at the request of its account that has its `issued_s`."""

    def judge(requests: list[Request]) -> list[Ruling]:
        return [
            ruling._replace(at=at)
            for at, request in enumerate(requests)
            for ruling in rulings
            if (request.account_id, request.ts) == (ruling.account_id, ruling.issued_s)
        ]

    return judge


def throttle(name: str, at_s: float, for_s: float, limit: float = 0.0) -> Ruling:
    issued_s = MIDNIGHT_S + at_s
    return Ruling(0, name, "throttle", issued_s, issued_s + for_s, limit)


def ban(name: str, at_s: float, for_s: float) -> Ruling:
    issued_s = MIDNIGHT_S + at_s
    return Ruling(0, name, "ban", issued_s, issued_s + for_s)


def test_the_leak_before_a_decision_includes_the_request_that_tipped_it() -> None:
    script = Script([attacker("eve")], copying("eve", 5_000))
    judge = ruling_at(throttle("eve", 9, 60), ban("eve", 2_999, DAY_S))
    (case,) = evaluate(script, judge).cases
    assert (case.before_throttle, case.before_ban, len(case.taken)) == (10, 3_000, 5_000)
    assert (case.throttled_s, case.banned_s) == (MIDNIGHT_S + 9, MIDNIGHT_S + 2_999)
    assert case.first_s == MIDNIGHT_S


def test_enforced_decisions_let_through_what_came_before_and_between_them() -> None:
    script = Script([attacker("eve")], copying("eve", 5_000))
    judge = ruling_at(throttle("eve", 9, 60), ban("eve", 2_999, 1_000))
    (case,) = evaluate(script, judge).cases
    before, between, after = 10, 2_999 - 69 + 1, 5_000 - 3_999
    assert len(case.leaked) == case.passed == before + between + after


def test_somebody_never_stopped_leaks_everything() -> None:
    (case,) = evaluate(Script([attacker("eve")], copying("eve", 7)), ruling_at()).cases
    assert (case.before_throttle, case.before_ban, len(case.leaked)) == (7, 7, 7)
    assert case.throttled_s is case.banned_s is None


def test_a_ban_without_a_throttle_before_it_stops_as_well() -> None:
    script = Script([attacker("eve")], copying("eve", 20))
    (case,) = evaluate(script, ruling_at(ban("eve", 4, DAY_S))).cases
    assert (case.throttled_s, case.before_throttle) == (MIDNIGHT_S + 4, 5)


def test_a_pair_counts_once_and_only_if_it_is_somebody_elses_and_was_sent() -> None:
    requests = [
        read("eve", 0, "a", "b", action="list", owner=None),
        read("eve", 1, "a"),
        read("eve", 2, "own", owner="eve"),
        read("eve", 3, "made", action="generate"),
        read("eve", 4, "failed", status=503),
    ]
    (case,) = evaluate(Script([attacker("eve")], requests), ruling_at()).cases
    assert (case.taken, case.requests) == ({"a", "b"}, 5)


def test_what_happens_before_the_attack_is_neither_loot_nor_success() -> None:
    script = Script([attacker("eve", MIDNIGHT_S + 100)], copying("eve", 200))
    (case,) = evaluate(script, ruling_at(throttle("eve", 50, 100))).cases
    assert (len(case.taken), case.throttled_s) == (100, None)
    assert len(case.leaked) == 50, "the throttle from before is enforced all the same"


def test_a_request_refused_in_the_path_is_not_leaked() -> None:
    script = Script([attacker("eve")], copying("eve", 10))
    judge = ruling_at(throttle("eve", 4, 0)._replace(refuses=True))
    (case,) = evaluate(script, judge).cases
    assert case.taken - case.leaked == {"eve-4"}


def test_account_days_are_counted_in_utc_and_hit_once_a_day() -> None:
    requests = [read("ann", at_s, "a") for at_s in (0, 10, DAY_S - 1, DAY_S, 3 * DAY_S)]
    judge = ruling_at(
        throttle("ann", 0, 1), throttle("ann", DAY_S - 1, 1), ban("ann", 3 * DAY_S, 1)
    )
    outcome = evaluate(Script([honest("ann")], requests), judge)
    assert (outcome.days, outcome.throttled, outcome.banned) == (
        {"casual": 3},
        {"casual": 1},
        {"casual": 1},
    )


def test_honest_accounts_under_an_attacks_link_are_told_apart() -> None:
    labels = [attacker("eve", group="org:x"), honest("bob", "colleague", "org:x"), honest("ann")]
    requests = [read(name, 0, "a") for name in ("eve", "bob", "ann")]
    outcome = evaluate(Script(labels, requests), ruling_at(throttle("bob", 0, 1)))
    assert outcome.days == {BESIDE_ATTACKERS: 1, "casual": 1}
    assert outcome.throttled == {BESIDE_ATTACKERS: 1}


# Limits whose bucket gains a power of two each second, so that floats are exact.
@pytest.mark.parametrize(("limit_per_minute", "one_each_s"), [(7.5, 8), (0.46875, 128)])
def test_a_throttle_lets_its_limit_through(limit_per_minute: float, one_each_s: int) -> None:
    gateway = Enforcement()
    gateway.follow(throttle("eve", 0, DAY_S, limit_per_minute))
    begin = int(MIDNIGHT_S)
    passed = [at for at in range(begin + 1, begin + 12_800) if gateway.lets_through(at)]
    steady = {later - earlier for earlier, later in pairwise(passed[1:])}
    assert steady == {one_each_s}


def test_after_a_silence_a_throttle_lets_a_minutes_worth_through_at_once() -> None:
    gateway = Enforcement()
    gateway.follow(throttle("eve", 0, DAY_S, 30.0))
    now_s = MIDNIGHT_S + HOUR_S
    assert sum(gateway.lets_through(now_s) for _ in range(100)) == 30


def test_a_ban_lets_nothing_through_until_it_ends() -> None:
    gateway = Enforcement()
    gateway.follow(ban("eve", 0, 60))
    assert not gateway.lets_through(MIDNIGHT_S + 59)
    assert gateway.lets_through(MIDNIGHT_S + 60)


def leaked_by(judge: Judge, requests: list[Request]) -> int:
    (case,) = evaluate(Script([attacker("eve")], requests), judge).cases
    return len(case.leaked)


def test_the_bucket_takes_a_burst_of_forty_and_two_a_second_from_then_on() -> None:
    assert leaked_by(LeakyBucket(), copying("eve", 100, every_s=0)) == 40
    assert leaked_by(LeakyBucket(), copying("eve", 1_000, every_s=0.125)) == 40 + 2 * 124 + 1
    assert leaked_by(LeakyBucket(), copying("eve", 1_000, every_s=0.5)) == 1_000


def test_the_window_takes_three_hundred_in_each_five_minutes_of_the_clock() -> None:
    assert leaked_by(FixedWindow(), copying("eve", 600, every_s=1.0)) == 600
    assert leaked_by(FixedWindow(), copying("eve", 3_000, every_s=0.25)) == 300 * 3


def test_the_limit_of_pairs_counts_distinct_ones_of_a_day_and_shuts_until_midnight() -> None:
    again = [read("eve", n, "same") for n in range(50)]
    assert evaluate(Script([attacker("eve")], again), PairsADay(1)).cases[0].passed == 50
    two_days = copying("eve", 48, every_s=HOUR_S)
    assert leaked_by(PairsADay(10), two_days) == 20


def test_a_threshold_spends_its_budget_and_no_more() -> None:
    peaks = [float(n) for n in range(2_000)]
    assert sum(peak > threshold_for(peaks, 1.0) for peak in peaks) == 2
    tied = [1.0] * 100 + [0.0] * 1_900
    assert sum(peak > threshold_for(tied, 1.0) for peak in tied) == 0


def test_the_trees_find_a_flood_among_ordinary_hours_and_shut_it_out_for_an_hour() -> None:
    people = [
        request
        for person in range(100)
        for hour in range(6)
        for request in copying(f"p{person}", 8 + person % 9, 60.0, hour * HOUR_S + person / 100)
    ]
    flood = copying("eve", 5_000, 0.5, 5 * HOUR_S)
    requests = sorted([*people, *flood], key=lambda request: request.ts)
    labels = [attacker("eve"), *(honest(f"p{person}") for person in range(100))]
    tuned = Trees()
    evaluate(Script(labels, requests), tuned)
    peaks = {name: peak for (name, _), peak in tuned.peaks.items()}
    others = max(peak for name, peak in peaks.items() if name != "eve")
    assert peaks["eve"] > others
    outcome = evaluate(Script(labels, requests), Trees(others))
    assert not outcome.throttled
    assert 0 < outcome.cases[0].passed < 2_500


def test_every_detector_sees_the_same_world() -> None:
    world = simulate("smash-and-grab", seed=7, accounts=100, days=0.05)
    outcomes = evaluate_all(
        world,
        {"ours": Pairwatch(DetectionConfig(), 2), "bucket": LeakyBucket()},
    )
    ours, bucket = outcomes["ours"], outcomes["bucket"]
    assert ours.days == bucket.days
    assert [case.taken for case in ours.cases] == [case.taken for case in bucket.cases]
    totals = {label.account_id: label.pairs_total for label in world.labels}
    for case in ours.cases:
        # All that the account took in its life, but for the little from before the attack.
        assert 0.9 * totals[case.label.account_id] < len(case.taken)
        assert len(case.taken) <= totals[case.label.account_id]
        assert case.throttled_s is not None
        assert len(case.leaked) < len(case.taken)
    assert all(decision.scope == "account" for decision in ours.decisions)


def test_each_seed_meets_every_attack_once_and_few_attackers_at_a_time() -> None:
    specs = plan([101, 102], 2_000, 7.0)
    for last in ("1", "2"):
        names = [name for spec in specs if str(spec.seed).endswith(last) for name in spec.attacks]
        assert sorted(names) == sorted(ATTACKS)
    assert len({spec.seed for spec in specs}) == len(specs)
    for spec in specs:
        assert sum(ATTACKS[name].members for name in spec.attacks) <= 0.03 * spec.accounts


def test_the_command_prints_its_tables_and_writes_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    told = [
        "--seeds=7",
        "--attacks=steady-scraper,company",
        "--accounts=100",
        "--days=0.05",
        "--intensity=2",
    ]
    result = CliRunner().invoke(
        main, [*told, "--partitions=2", "--jobs=1", f"--json={out}"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "| steady-scraper " in result.stdout
    assert "per 1,000 account-days" in result.stdout
    assert "[1/2] tuned" in result.stderr
    run = json.loads(out.read_bytes())
    cases = [case for world in run["results"] for case in world["figures"]["pairwatch"]["cases"]]
    assert sorted(case["attack"] for case in cases) == [*["company"] * 3, "steady-scraper"]
    assert {world["spec"]["intensity"] for world in run["results"] + run["small"]} == {2.0}
    assert {world["spec"]["accounts"] for world in run["small"]} == {100, 300}


def test_false_throttles_are_told_day_by_day() -> None:
    labels = [honest("a"), honest("b")]
    late = read("b", DAY_S + 5, "p")

    def judge(requests: list[Request]) -> Iterator[Ruling]:
        for at, request in enumerate(requests):
            if request == late:
                yield Ruling(at, "b", "throttle", request.ts, request.ts + 60)

    outcome = evaluate(Script(labels, [read("a", 1, "p"), read("b", 2, "p"), late]), judge)
    first = int(MIDNIGHT_S // DAY_S)
    assert outcome.dates == {first: 2, first + 1: 1}
    assert outcome.wrong_dates == {first + 1: 1}


def test_an_unknown_attack_is_refused_by_name() -> None:
    result = CliRunner().invoke(main, ["--attacks=stealth"])
    assert (result.exit_code, "there is no 'stealth'" in result.stderr) == (2, True)


def test_a_table_stands_straight() -> None:
    assert table(["a", "bb"], [["ccc", "d"]]) == "| a   | bb |\n| --- | -- |\n| ccc | d  |"
