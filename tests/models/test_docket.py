"""What people say, and what decisions come of it: over any history at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import DetectionConfig
from models.decision import Decision, Source, rfc3339
from models.groups.day import TOLD_FROM
from models.notices import (
    Allow,
    Approve,
    Calendar,
    Confirm,
    Control,
    Overturn,
    Release,
    SetMode,
    Subject,
    Verdict,
    seconds,
)
from models.popularity import Popularity
from models.request import Request
from models.steering import CALENDARS_MAX, Steering
from tests.contract import assert_valid_decision
from tests.models.traffic import HOUR_S, MIDNIGHT_S, Partition, request, views

MORNING_S = MIDNIGHT_S + 9 * HOUR_S
ENFORCE = DetectionConfig(mode="enforce", false_throttles_per_1000_account_days=100)
LINKS = {"org": "example.com", "payment": "fp_9"}


def told(name: str, at_s: float = MORNING_S) -> dict[str, Any]:
    return {"id": name, "by": "mira", "why": "a test", "issued_at": rfc3339(at_s)}


def flood(account: str, start_s: float = MORNING_S, **said: Any) -> list[Request]:
    """Return what is throttled sooner or later: one view a second of ever new pairs."""
    return views(account, start_s, 1.0, (f"{account}@{start_s}_{n}" for n in range(900)), **said)


def say(partition: Partition, *notices: Control | Verdict) -> list[Decision]:
    decisions = []
    for n, notice in enumerate(notices):
        decisions += partition.detector.apply(notice, Source("notices", 3, n))
    partition.decisions += decisions
    return decisions


def held(partition: Partition, account: str, now_s: float) -> bool:
    return partition.profile(account).standing.in_force(now_s)


@pytest.fixture
def throttled() -> Partition:
    """A partition in which `copier`, with links, has a throttle in force."""
    partition = Partition(ENFORCE)
    partition.observe(flood("copier", links=LINKS, ip="203.0.113.7"))
    assert [decision.action for decision in partition.decisions][:1] == ["throttle"]
    return partition


ACCOUNT = Subject("account", "copier")
BY_LINK, BY_RANGE = Subject("group", "org:example.com"), Subject("range", "203.0.113.0/24")
BY_NETWORK = Subject("group", "range:203.0.113.0/24")


@pytest.mark.parametrize("subject", [ACCOUNT, BY_LINK, BY_RANGE])
def test_allowing_lifts_what_is_in_force_and_nothing_comes_after(
    throttled: Partition, subject: Subject
) -> None:
    until = rfc3339(MORNING_S + 4 * HOUR_S)
    [lifted] = say(throttled, Allow(subject=subject, expires_at=until, **told("n1")))
    assert_valid_decision(lifted)
    assert (lifted.action, lifted.value, lifted.expires_at) == ("release", "copier", None)
    assert lifted.revision == throttled.decisions[-2].revision + 1
    again = flood("copier", MORNING_S + HOUR_S, links=LINKS, ip="203.0.113.9")
    assert throttled.observe(again).decisions == []
    late = flood("copier", MORNING_S + 5 * HOUR_S, links=LINKS, ip="203.0.113.9")
    assert throttled.observe(late).decisions


def test_what_was_done_with_leave_is_not_held_against_an_account_once_that_has_run_out() -> None:
    partition, until_s = Partition(ENFORCE), MORNING_S + HOUR_S
    know_what_people_read(partition.detector.population.popularity)
    member = {"links": LINKS, "ip": "203.0.113.7"}
    allow = Allow(subject=ACCOUNT, expires_at=rfc3339(until_s), **told("n1"))
    say(partition, allow)
    assert partition.observe(flood("copier", **member)).decisions == []
    partition.checkpoint()
    partition.restart()
    few = views("copier", until_s + 1, 90.0, (f"rare_{n}" for n in range(7)), **member)
    seen = partition.observe(few)
    assert seen.decisions == []
    # Nor are those who watch its links, but for a handful that it had not been told of yet.
    assert max(each.chosen for each in seen.activities) < 2 * TOLD_FROM
    assert partition.observe(flood("copier", until_s + 1_000, **member)).decisions


@pytest.mark.parametrize(
    "subject",
    [
        Subject("account", "another"),
        Subject("group", "org:example.org"),
        Subject("range", "198.51.100.0/24"),
        Subject("range", "2001:db8::/32"),
    ],
)
def test_allowing_others_changes_nothing_for_this_one(
    throttled: Partition, subject: Subject
) -> None:
    until = rfc3339(MORNING_S + 4 * HOUR_S)
    assert say(throttled, Allow(subject=subject, expires_at=until, **told("n1"))) == []
    assert held(throttled, "copier", MORNING_S + 900)


def test_an_allowance_is_taken_back_by_one_that_has_run_out() -> None:
    partition = Partition(ENFORCE)
    until, past = rfc3339(MORNING_S + 24 * HOUR_S), rfc3339(MORNING_S - 1)
    say(partition, Allow(subject=ACCOUNT, expires_at=until, **told("n1")))
    say(partition, Allow(subject=ACCOUNT, expires_at=past, **told("n2")))
    assert partition.observe(flood("copier")).decisions


def test_an_allowance_that_has_ended_holds_for_what_is_judged_late() -> None:
    # Who is behind hears what was said since before it judges what was done before.
    partition, until_s = Partition(ENFORCE), MORNING_S + HOUR_S
    said = {"expires_at": rfc3339(MORNING_S + 24 * HOUR_S), **told("n2", until_s + 1)}
    say(partition, Allow(subject=ACCOUNT, expires_at=rfc3339(until_s), **told("n1")))
    say(partition, Allow(subject=Subject("account", "another"), **said))
    assert partition.observe(flood("copier")).decisions == []
    assert partition.observe(flood("copier", until_s + 1)).decisions


def test_of_too_many_plans_the_one_that_ends_first_is_forgotten() -> None:
    steering = Steering(ENFORCE)
    for n in range(CALENDARS_MAX + 1):
        times = {
            "starts_at": rfc3339(MORNING_S + n * HOUR_S),
            "ends_at": rfc3339(MORNING_S + (n + 1) * HOUR_S),
        }
        steering.plan(Calendar(name=f"event-{n}", tolerance=2.0, **times, **told(f"n{n}")))
    planned = [steering.event(MORNING_S + (n + 0.5) * HOUR_S)[0] for n in range(CALENDARS_MAX + 1)]
    assert planned == ["", *(f"event-{n}" for n in range(1, CALENDARS_MAX + 1))]


def test_a_release_lifts_it_and_the_account_may_be_judged_anew(throttled: Partition) -> None:
    [lifted] = say(throttled, Release(subject=ACCOUNT, **told("n1", MORNING_S + 900)))
    assert lifted.action == "release"
    assert not held(throttled, "copier", MORNING_S + 901)
    assert throttled.observe(flood("copier", MORNING_S + HOUR_S)).decisions


def test_overturning_lifts_the_decision_that_is_meant_and_no_other(throttled: Partition) -> None:
    meant = throttled.decisions[-1].decision_id
    other = Overturn(subject=ACCOUNT, decision_id="another", **told("n1"))
    assert say(throttled, other) == []
    [lifted] = say(throttled, Overturn(subject=ACCOUNT, decision_id=meant, **told("n2")))
    assert lifted.action == "release"
    assert throttled.profile("copier").standing.leeway > 1


def test_what_people_call_wrong_of_one_account_is_believed_for_all_of_them() -> None:
    patient, usual = Partition(ENFORCE), Partition(ENFORCE)
    for n in range(20):
        other = Overturn(subject=Subject("account", f"x{n}"), decision_id="d", **told(f"n{n}"))
        assert say(patient, other) == []
    later, sooner = (each.observe(flood("copier")).decisions[0] for each in (patient, usual))
    assert later.issued_at > sooner.issued_at


def test_confirming_leaves_it_in_force_and_makes_the_next_one_longer(throttled: Partition) -> None:
    meant, before = throttled.decisions[-1].decision_id, throttled.profile("copier").standing
    assert say(throttled, Confirm(subject=ACCOUNT, decision_id=meant, **told("n1"))) == []
    after = throttled.profile("copier").standing
    assert after.strikes == before.strikes + 1
    assert after.in_force(MORNING_S + 900)


@pytest.mark.parametrize("subject", [BY_LINK, BY_NETWORK])
def test_an_approved_group_covers_its_members_new_ones_too_until_it_runs_out(
    subject: Subject,
) -> None:
    partition = Partition(ENFORCE)
    until_s = MORNING_S + 2 * HOUR_S
    approve = Approve(
        subject=subject,
        decision_id="review",
        action="throttle",
        limit_per_minute=2.0,
        expires_at=rfc3339(until_s),
        **told("n1"),
    )
    assert say(partition, approve) == []
    partition.observe([request("member", MORNING_S, links=LINKS, ip="203.0.113.7")])
    [covered] = partition.decisions
    assert_valid_decision(covered)
    assert (covered.value, covered.action, covered.limit_per_minute) == ("member", "throttle", 2.0)
    assert covered.expires_at == rfc3339(until_s)
    assert not covered.simulated
    nothing = [
        request("member", MORNING_S + 5, links=LINKS),  # it is in force
        request("stranger", MORNING_S + 5, links={"org": "example.org"}),
        request("late member", until_s + 1, links=LINKS, ip="203.0.113.8"),
    ]
    assert partition.observe(nothing).decisions == []


@pytest.mark.parametrize(
    ("approved", "allowed"), [(BY_LINK, BY_LINK), (BY_NETWORK, Subject("range", "203.0.0.0/16"))]
)
def test_an_allowance_ends_an_approval_for_good(approved: Subject, allowed: Subject) -> None:
    partition, until_s = Partition(ENFORCE), MORNING_S + HOUR_S
    day = rfc3339(MORNING_S + 24 * HOUR_S)
    said = {"decision_id": "r", "action": "ban", "expires_at": day}
    say(partition, Approve(subject=approved, **said, **told("n1")))
    member = {"links": LINKS, "ip": "203.0.113.7"}
    assert partition.observe([request("a", MORNING_S, **member)]).decisions
    [lifted] = say(
        partition, Allow(subject=allowed, expires_at=rfc3339(until_s), **told("n2", MORNING_S + 9))
    )
    assert (lifted.value, lifted.action) == ("a", "release")
    later = [request("a", until_s + n, request_id=f"r{n}", **member) for n in (-1, 1)]
    assert partition.observe(later).decisions == [], "nobody is banned because it has run out"


@pytest.mark.parametrize("kind", [Allow, Release])
def test_what_is_said_of_a_link_reaches_whom_it_covered_without_it_by_now(
    kind: type[Allow] | type[Release],
) -> None:
    partition, until = Partition(ENFORCE), rfc3339(MORNING_S + 24 * HOUR_S)
    said = {"decision_id": "r", "action": "ban", "expires_at": until}
    say(partition, Approve(subject=BY_LINK, **said, **told("n1")))
    assert partition.observe([request("a", MORNING_S, links=LINKS)]).decisions
    bare = request("a", MORNING_S + 9, links={"org": "other.example"}, status=403)
    assert partition.observe([bare]).decisions == []
    words = {"expires_at": until} if kind is Allow else {}
    [lifted] = say(partition, kind(subject=BY_LINK, **words, **told("n2", MORNING_S + 10)))
    assert (lifted.value, lifted.action) == ("a", "release")


def test_releasing_an_approved_group_covers_nobody_any_more_and_lifts_what_it_brought() -> None:
    partition = Partition(ENFORCE)
    until = rfc3339(MORNING_S + 24 * HOUR_S)
    say(
        partition,
        Approve(subject=BY_LINK, decision_id="r", action="ban", expires_at=until, **told("n1")),
    )
    partition.observe([request(name, MORNING_S, links=LINKS) for name in ("a", "b")])
    assert {decision.action for decision in partition.decisions} == {"ban"}
    lifted = say(partition, Release(subject=BY_LINK, **told("n2")))
    assert {(each.value, each.action) for each in lifted} == {("a", "release"), ("b", "release")}
    assert partition.observe([request("c", MORNING_S + 9, links=LINKS)]).decisions == []


def test_switching_to_shadow_lifts_what_was_meant_and_simulates_what_comes(
    throttled: Partition,
) -> None:
    [lifted] = say(throttled, SetMode(mode="shadow", **told("n1")))
    assert lifted.action == "release"
    coming = throttled.observe(flood("copier", MORNING_S + HOUR_S)).decisions
    assert coming
    assert all(decision.simulated for decision in coming)
    for n, name in enumerate(("catalogue-sweep", "request-flood", "slow-drip")):
        say(throttled, SetMode(mode="enforce", scenario=name, **told(f"n{n + 2}")))
    later = throttled.observe(flood("copier", MORNING_S + 30 * HOUR_S)).decisions
    assert later
    assert not any(decision.simulated for decision in later)


def test_a_planned_event_raises_the_tolerance_and_says_so() -> None:
    starts, ends = rfc3339(MORNING_S), rfc3339(MORNING_S + HOUR_S)
    partition, without = Partition(ENFORCE), Partition(ENFORCE)
    event = Calendar(name="contest", starts_at=starts, ends_at=ends, tolerance=2.0, **told("n1"))
    say(partition, event)
    tolerated, usual = (each.observe(flood("copier")).decisions[0] for each in (partition, without))
    assert tolerated.issued_at > usual.issued_at
    assert any("planned event contest" in reason.signal for reason in tolerated.reasons)
    assert not any("contest" in reason.signal for reason in usual.reasons)


def test_a_groups_verdict_becomes_the_members_decision_with_the_group_in_its_evidence() -> None:
    partition = Partition(ENFORCE)
    partition.observe([request("member", MORNING_S)])
    verdict = Verdict(
        id="v1",
        account_id="member",
        at_s=MORNING_S + 60,
        grave=False,
        limit_per_minute=None,
        scenario="coordinated-sweep",
        score=0.999,
        reasons=(),
        group="group:payment:fp_9",
        linked_accounts=("x", "y"),
    )
    [decision] = say(partition, verdict)
    assert_valid_decision(decision)
    assert decision.evidence.linked_accounts == ("x", "y")
    assert decision.limit_per_minute is not None
    assert say(partition, verdict) == []


def verdict(
    name: str,
    account: str = "copier",
    at_s: float = MORNING_S + 1_000,
    group: str = "group:payment:fp_9",
) -> Verdict:
    return Verdict(
        id=name,
        account_id=account,
        at_s=at_s,
        grave=True,
        limit_per_minute=None,
        scenario="coordinated-sweep",
        score=0.999,
        reasons=(),
        group=group,
        linked_accounts=("x",),
    )


def test_what_a_member_did_on_the_day_it_was_found_is_not_learned_as_honest() -> None:
    partition = Partition(ENFORCE)
    partition.observe([request("copier", MORNING_S), request("somebody", MORNING_S)])
    days = [tail.days for tail in partition.detector.population.tails]
    [found] = say(partition, verdict("v1"))
    left = [tail.days for tail in partition.detector.population.tails]
    assert left == [max(n - 1, 0) for n in days] != days
    say(partition, Overturn(subject=ACCOUNT, decision_id=found.decision_id, **told("n1")))
    assert [tail.days for tail in partition.detector.population.tails] == days


BY_MANNER = Subject("group", "manner:opens-only/no-order/people-pace/uneven/views/new")


def named_by_manner() -> Partition:
    """Return a partition with one who was named for its manner alone, and went on."""
    partition = Partition(ENFORCE)
    partition.observe([request(name, MORNING_S, links=LINKS) for name in ("copier", "alike")])
    [throttle] = say(partition, verdict("v1", at_s=MORNING_S + 1, group=BY_MANNER.key))
    assert throttle.value == "copier"
    partition.observe([request("copier", MORNING_S + 5, request_id="again", links=LINKS)])
    return partition


def test_a_flood_of_verdicts_makes_nothing_that_people_said_count_twice(
    throttled: Partition,
) -> None:
    release = Release(subject=ACCOUNT, **told("n1", MORNING_S + 900))
    assert say(throttled, release)
    say(throttled, *(verdict(f"v{n}", account=f"nobody {n}") for n in range(2_500)))
    assert throttled.observe(flood("copier", MORNING_S + HOUR_S)).decisions
    assert say(throttled, release) == [], "it was heard before"


@pytest.mark.parametrize("kind", [Release, Allow])
def test_what_came_of_a_manner_is_lifted_by_it_though_no_request_carries_it(
    kind: type[Release | Allow],
) -> None:
    partition = named_by_manner()
    until = {"expires_at": rfc3339(MORNING_S + HOUR_S)} if kind is Allow else {}
    [lifted] = say(partition, kind(subject=BY_MANNER, **until, **told("n1", MORNING_S + 9)))
    assert (lifted.value, lifted.action) == ("copier", "release")


def test_what_is_approved_for_a_manner_covers_those_named_for_it_and_nobody_else() -> None:
    partition = named_by_manner()
    until = rfc3339(MORNING_S + 24 * HOUR_S)
    approve = Approve(
        subject=BY_MANNER, decision_id="r", action="ban", expires_at=until, **told("n1")
    )
    say(partition, approve)
    later = [request(n, MORNING_S + 60, request_id=n, links=LINKS) for n in ("copier", "alike")]
    [covered] = partition.observe(later).decisions
    assert (covered.value, covered.action, covered.expires_at) == ("copier", "ban", until)
    [lifted] = say(
        partition, Release(subject=Subject("account", "copier"), **told("n2", MORNING_S + 99))
    )
    assert lifted.action == "release"
    assert partition.observe([request("copier", MORNING_S + 120)]).decisions == [], "it was cleared"


def test_who_was_only_simulated_is_stopped_once_decisions_are_meant() -> None:
    partition = Partition(msgspec.structs.replace(ENFORCE, mode="shadow"))
    partition.observe(flood("copier"))
    before = partition.decisions[-1]
    assert before.simulated
    assert held(partition, "copier", MORNING_S + 900)
    assert say(partition, SetMode(mode="enforce", **told("n1", MORNING_S + 900))) == []
    more = partition.observe(flood("copier", MORNING_S + 901)).decisions
    assert more
    assert not more[0].simulated
    assert more[0].revision == before.revision + 1


def test_an_approval_is_meant_for_members_who_were_only_simulated() -> None:
    partition = Partition(msgspec.structs.replace(ENFORCE, mode="shadow"))
    partition.observe([request("copier", MORNING_S)])
    say(partition, verdict("v1", at_s=MORNING_S + 1))
    assert partition.decisions[-1].simulated
    approve = Approve(
        subject=BY_LINK,
        decision_id="r",
        action="throttle",
        limit_per_minute=2.0,
        expires_at=rfc3339(MORNING_S + HOUR_S),
        **told("a"),
    )
    say(partition, SetMode(mode="enforce", **told("n1")), approve)
    [covered] = partition.observe([request("copier", MORNING_S + 5, links=LINKS)]).decisions
    assert (covered.action, covered.limit_per_minute) == ("throttle", 2.0)
    assert not covered.simulated


def test_a_scenario_in_shadow_and_one_that_is_meant_do_not_stand_in_each_others_way() -> None:
    config = msgspec.structs.replace(ENFORCE, scenarios={"coordinated-sweep": "shadow"})
    partition = Partition(config)
    partition.observe([request("copier", MORNING_S - 60)])
    say(partition, verdict("v1", at_s=MORNING_S - 30))
    assert partition.decisions[-1].simulated
    meant = next(d[0] for one in flood("copier") if (d := partition.observe([one]).decisions))
    assert (meant.action, meant.simulated) == ("throttle", False)
    assert say(partition, verdict("v2", at_s=seconds(meant.issued_at) + 1)) == []


@pytest.mark.parametrize("subject", [BY_LINK, BY_RANGE])
def test_who_turns_out_to_be_on_an_allow_list_is_let_go_with_the_next_request(
    subject: Subject,
) -> None:
    partition = Partition(ENFORCE)
    partition.observe([request("copier", MORNING_S)])
    until = rfc3339(MORNING_S + HOUR_S)
    say(partition, Allow(subject=subject, expires_at=until, **told("n1")), verdict("v1"))
    assert held(partition, "copier", MORNING_S + 1_001)
    others = [request("copier", MORNING_S + 1_002, links={"org": "x"}, ip="198.51.100.1")]
    assert partition.observe(others).decisions == []
    [lifted] = partition.observe(
        [request("copier", MORNING_S + 1_003, links=LINKS, ip="203.0.113.7")]
    ).decisions
    assert_valid_decision(lifted)
    assert lifted.action == "release"
    assert not held(partition, "copier", MORNING_S + 1_004)


@pytest.mark.parametrize("subject", [BY_LINK, BY_RANGE, BY_NETWORK])
def test_a_groups_verdict_spares_who_is_known_by_anything_that_is_allowed(
    subject: Subject,
) -> None:
    until = rfc3339(MORNING_S + 4 * HOUR_S)
    allow = Allow(subject=subject, expires_at=until, **told("n1"))
    for said_first in (True, False):
        partition = Partition(ENFORCE)
        known = {"links": LINKS, "ip": "203.0.113.7"}
        partition.observe([request("copier", MORNING_S - 60, pair_ids=["x"], **known)])
        partition.checkpoint()
        partition.restart()  # what is known of it outlives that
        if said_first:
            assert say(partition, allow, verdict("v1")) == []
        else:
            hit, lifted = say(partition, verdict("v1"), allow)
            assert (hit.value, lifted.action) == ("copier", "release")
            assert lifted.revision == hit.revision + 1
        assert not held(partition, "copier", MORNING_S + 1_001)


@pytest.mark.parametrize("subject", [BY_LINK, BY_RANGE])
def test_allowing_lifts_what_is_in_force_for_who_is_refused_there_by_now(
    subject: Subject,
) -> None:
    partition = Partition(ENFORCE)
    partition.observe(flood("copier", links={"org": "x"}, ip="198.51.100.1"))
    refused = request("copier", MORNING_S + 901, links=LINKS, ip="203.0.113.7", status=403)
    assert partition.observe([refused]).decisions == []
    until = rfc3339(MORNING_S + 4 * HOUR_S)
    [lifted] = say(partition, Allow(subject=subject, expires_at=until, **told("n1", MORNING_S + 9)))
    assert (lifted.value, lifted.action) == ("copier", "release")


def know_what_people_read(popularity: Popularity) -> None:
    rng = random.Random(1)
    for pair in range(20_000):
        popularity.learn((pair,), pair)
    for reader in range(2_000):
        pair = int(rng.paretovariate(0.6))
        popularity.learn((pair,), reader, 20_000, chosen=True, weighed=True)
    assert popularity.classes.tells


def test_groups_hear_nothing_of_those_who_are_to_be_left_alone() -> None:
    partition, without = Partition(ENFORCE), Partition(ENFORCE)
    until = rfc3339(MORNING_S + HOUR_S)
    say(partition, Allow(subject=BY_RANGE, expires_at=until, **told("n1")))
    for either in (partition, without):
        know_what_people_read(either.detector.population.popularity)
    reading = flood("member", links=LINKS, ip="203.0.113.7")[:200]
    assert without.observe(reading).activities
    assert partition.observe(reading).activities == []


_subjects = st.sampled_from((ACCOUNT, Subject("account", "b"), BY_LINK, BY_RANGE))
_times = st.floats(MORNING_S - HOUR_S, MORNING_S + 30 * HOUR_S).map(rfc3339)


_KINDS = ("allow", "release", "approve", "confirm", "overturn", "mode", "verdict")


@st.composite
def _said(draw: st.DrawFn) -> Control | Verdict:
    common = told(f"n{draw(st.integers(0, 6))}", MORNING_S + draw(st.floats(0, 9_000)))
    subject = draw(_subjects)
    match draw(st.sampled_from(_KINDS)):
        case "verdict":
            at_s = MORNING_S + draw(st.floats(0, 9_000))
            return verdict(common["id"], draw(st.sampled_from(("copier", "b", "c"))), at_s)
        case "allow":
            return Allow(subject=subject, expires_at=draw(_times), **common)
        case "release":
            return Release(subject=subject, **common)
        case "approve":
            return Approve(
                subject=BY_LINK, decision_id="r", action="ban", expires_at=draw(_times), **common
            )
        case "confirm":
            return Confirm(subject=subject, decision_id="r", **common)
        case "overturn":
            return Overturn(subject=subject, decision_id="r", **common)
        case _:
            mode = draw(st.sampled_from(("shadow", "enforce")))
            scenario = draw(st.sampled_from((None, "coordinated-sweep", "catalogue-sweep")))
            return SetMode(mode=mode, scenario=scenario, **common)


def _doings(seed: int) -> list[Request]:
    """Return some thousand requests of a few accounts, some of them refused."""
    chance = random.Random(seed)
    made: list[Request] = []
    for account, links in (("copier", LINKS), ("b", LINKS), ("c", {})):
        ts = MORNING_S + chance.uniform(0, 60)
        for n in range(700):
            ts += chance.expovariate(0.7)
            status = 429 if n > 300 and chance.random() < 0.7 else 200
            pairs = [f"{account}_{n}"]
            made.append(
                request(account, ts, pair_ids=pairs, links=links, ip="203.0.113.7", status=status)
            )
    return sorted(made, key=lambda one: one.ts)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 20),
    history=st.lists(st.tuples(st.integers(0, 2_099), _said()), max_size=8),
)
def test_over_any_history_decisions_follow_one_another_in_order(
    seed: int, history: Sequence[tuple[int, Control | Verdict]]
) -> None:
    partition, log, at = Partition(ENFORCE), _doings(seed), 0
    allowed_until: dict[Subject, float] = {}
    heard: set[str] = set()
    standing: dict[str, Decision] = {}

    def is_allowed(account: str, now_s: float) -> bool:
        links = (BY_RANGE,) if account == "c" else (BY_RANGE, BY_LINK)
        subjects = (Subject("account", account), *links)
        return any(allowed_until.get(subject, 0) > now_s for subject in subjects)

    def assert_spared(account: str, now_s: float) -> None:
        held = standing.get(account)
        if held is not None and held.expires_at is not None and not held.simulated:
            holds = seconds(held.issued_at) <= now_s < seconds(held.expires_at)
            assert not (holds and is_allowed(account, now_s))

    def go_on(requests: Sequence[Request]) -> None:
        for one in requests:
            standing.update((each.value, each) for each in partition.observe([one]).decisions)
            assert_spared(one.account_id, one.ts)

    for place, notice in sorted(history, key=lambda each: each[0]):
        go_on(log[at:place])
        at = max(at, place)
        standing.update((each.value, each) for each in say(partition, notice))
        assert say(partition, notice) == []  # twice is once
        if isinstance(notice, Allow) and notice.id not in heard:
            # One that has ended as it is said takes an earlier one back.
            until_s = seconds(notice.expires_at)
            allowed_until[notice.subject] = until_s if until_s > notice.issued_s else 0.0
        heard.add(notice.id)
        # Also of those who haven't been back since.
        now_s = notice.at_s if isinstance(notice, Verdict) else notice.issued_s
        for account in standing:
            assert_spared(account, now_s)
    go_on(log[at:])
    latest: dict[str, Decision] = {}
    ids = [decision.decision_id for decision in partition.decisions]
    assert len(ids) == len(set(ids))
    for decision in partition.decisions:
        assert_valid_decision(decision)
        before = latest.get(decision.value)
        assert decision.revision == (before.revision + 1 if before else 1)
        if decision.action == "release":
            assert before is not None
            assert before.action in ("throttle", "ban")
        else:
            assert decision.expires_at is not None
            assert decision.expires_at > decision.issued_at
            # One decision in force for a subject: the next one is longer, graver or later.
            if before is not None and before.expires_at is not None:
                # What was only simulated stands in nobody's way.
                is_hollow = before.simulated and not decision.simulated
                is_over = before.expires_at <= decision.issued_at or is_hollow
                is_longer = decision.expires_at > before.expires_at
                assert is_over or is_longer or (before.action, decision.action) != ("ban", "ban")
                assert is_over or (before.action, decision.action) != ("ban", "throttle")
                # Only a broken upstream's is replaced by one that nobody acts on.
                is_broken = partition.detector.docket.breaker.is_open
                assert is_over or before.simulated or not decision.simulated or is_broken
        latest[decision.value] = decision


@settings(max_examples=15, deadline=None)
@given(
    cut=st.integers(0, 2_100),
    history=st.lists(st.tuples(st.integers(0, 2_099), _said()), max_size=8),
)
def test_what_was_said_survives_a_restart(
    cut: int, history: Sequence[tuple[int, Control | Verdict]]
) -> None:
    def play(*, restarting: bool) -> list[Decision]:
        partition, log, at = Partition(ENFORCE), _doings(1), 0
        for place, notice in sorted([*history, (cut, None)], key=lambda each: each[0]):
            partition.observe(log[at:place])
            at = max(at, place)
            if notice is not None:
                say(partition, notice)
            elif restarting:
                partition.checkpoint()
                partition.restart()
        partition.observe(log[at:])
        return partition.decisions

    assert play(restarting=True) == play(restarting=False)
