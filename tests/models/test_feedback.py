"""What people call right or wrong: who is learned from, and how tight the levels are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import DetectionConfig
from models.decision import Source, rfc3339
from models.notices import Confirm, Overturn, Subject
from models.policy import DISTRUSTED_DAYS
from models.population import Population
from tests.models.test_judge import TODAY_S, experienced, rare
from tests.models.traffic import DAY_S, HOUR_S, Partition, request, views

ACCOUNT = Subject("account", "a")
CONFIG = DetectionConfig()


def levels(population: Population) -> list[float]:
    return [throttle for throttle, _ in population.levels]


def days(partition: Partition) -> float:
    return partition.detector.population.tails[0].days


def suspected() -> Partition:
    """Return a partition in which `a` is throttled for a minute of reading what nobody reads."""
    partition = experienced()
    for one in views("a", TODAY_S, 1.0, (rare(n) for n in range(100))):
        if partition.observe([one]).decisions:
            return partition
    raise AssertionError("it is not suspected")


def say(partition: Partition, kind: type[Confirm] | type[Overturn], name: str = "n1") -> None:
    notice = kind(
        id=name,
        by="mira",
        why="a test",
        issued_at=rfc3339(TODAY_S + 60),
        subject=ACCOUNT,
        decision_id=partition.decisions[-1].decision_id,
    )
    partition.decisions += partition.detector.apply(notice, Source("notices", 0, 0))


def an_evening(partition: Partition, day: int) -> float:
    """Let `a` look at what is popular one evening; return how many account-days that taught."""
    before = days(partition)
    start_s = TODAY_S + day * DAY_S + 20 * HOUR_S
    partition.observe(
        [request("a", start_s + 60 * n, pair_ids=[f"pair_{n + 1}"]) for n in range(10)]
    )
    return days(partition) - before * 0.9 ** (day > 0)


# The levels of everybody.


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_what_is_right_never_raises_a_level_and_what_is_wrong_never_lowers_one(
    said: list[bool],
) -> None:
    population = Population(CONFIG)
    for right in said:
        before = levels(population)
        population.feedback(right=right)
        for old, new in zip(before, levels(population), strict=True):
            assert new <= old if right else new >= old


def spending(part: float) -> list[float]:
    """Return the levels at which this part of the default budget is spent, without any doubt."""
    budget = CONFIG.false_throttles_per_1000_account_days * part * 2
    bans = CONFIG.false_bans_per_100000_account_days * part * 2
    return levels(
        Population(
            DetectionConfig(
                false_throttles_per_1000_account_days=budget,
                false_bans_per_100000_account_days=bans,
            )
        )
    )


@pytest.mark.parametrize(("right", "part"), [(True, 1.0), (False, 0.05)])
def test_however_much_is_said_levels_stay_within_the_budget_and_a_tenth_of_it(
    right: bool, part: float
) -> None:
    population = Population(CONFIG)
    for _ in range(5_000):
        population.feedback(right=right)
    for said, bound in zip(levels(population), spending(part), strict=True):
        assert said == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize("right", [True, False])
def test_what_was_said_fades(right: bool) -> None:
    population, without = Population(CONFIG), Population(CONFIG)
    for each in (population, without):
        each.begin_account_day(19_000, counted=True)
    for _ in range(50):
        population.feedback(right=right)
    assert levels(population) != levels(without)
    for day in range(19_001, 19_100):
        for each in (population, without):
            each.begin_account_day(day, counted=False)
            each.begin_account_day(day, counted=True)
    assert levels(population) == pytest.approx(levels(without), rel=0.001)


@pytest.mark.parametrize("right", [True, False])
def test_what_was_said_outlives_a_restart(right: bool) -> None:
    population, after = Population(CONFIG), Population(CONFIG)
    for _ in range(30):
        population.feedback(right=right)
    state, rows = population.snapshot()
    after.restore(state, lambda key: rows.get(key))
    for each in (population, after):
        each.feedback(right=right)
    assert levels(after) == levels(population)


# What is learned from the account.


def test_nothing_is_learned_for_a_month_from_who_was_rightly_decided_about() -> None:
    confirmed, unknown = suspected(), suspected()
    say(confirmed, Confirm)
    assert an_evening(unknown, 2) == pytest.approx(1)
    assert an_evening(confirmed, 2) == pytest.approx(0)
    confirmed.checkpoint()
    confirmed.restart()
    assert an_evening(confirmed, DISTRUSTED_DAYS - 1) == pytest.approx(0)
    assert an_evening(confirmed, DISTRUSTED_DAYS) == pytest.approx(1)


def test_a_confirmed_account_grows_no_habit() -> None:
    confirmed, unknown = suspected(), suspected()
    say(confirmed, Confirm)
    for day in range(2, 9):
        for partition in (confirmed, unknown):
            an_evening(partition, day)
    assert unknown.profile("a").habit_choices.days > 0
    assert confirmed.profile("a").habit_choices.days == 0


def test_the_day_of_who_was_wronged_is_learned_after_all_and_once() -> None:
    partition = suspected()
    population = partition.detector.population
    before, known = days(partition), [list(tail.reached) for tail in population.tails]
    say(partition, Overturn)
    assert partition.decisions[-1].action == "release"
    assert days(partition) == before + 1
    added = [
        [round(new - old, 6) for new, old in zip(tail.reached, reached, strict=True)]
        for tail, reached in zip(population.tails, known, strict=True)
    ]
    assert {step for steps in added for step in steps} <= {0, 1}, "one account-day, as any other"
    of_minute = next(
        steps
        for (_, signal), steps in zip(population.signals, added, strict=True)
        if signal.code == "em"
    )
    asked = next(d for d in partition.decisions if d.action == "throttle")
    observed = asked.reasons[0].observed
    assert asked.reasons[0].signal.startswith("evidence")
    assert 2 ** ((sum(of_minute) - 1) / 4) <= observed < 2 ** (sum(of_minute) / 4)
    say(partition, Overturn, "n2")
    assert days(partition) == before + 1


def test_who_was_wronged_is_not_decided_about_for_the_same_again() -> None:
    partition = suspected()
    say(partition, Overturn)
    profile = partition.profile("a")
    assert profile.rare == 0
    assert profile.windows[-1].evidence == 0
    more = views("a", TODAY_S + 90, 40, (rare(n) for n in range(100, 104)))
    assert partition.observe(more).decisions == []


def test_who_was_confirmed_and_then_wronged_is_learned_from_again() -> None:
    partition = suspected()
    say(partition, Confirm)
    say(partition, Overturn, "n2")
    assert an_evening(partition, 1) == pytest.approx(1)
