"""Peers are counted by their days, budgets are shared out, and its marker stays small."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from models.calibration import BELIEF_ACCOUNT_DAYS
from models.config import DetectionConfig
from models.population import _SPENT, DIGEST_EVERY_S, Population
from models.population_state import DigestError, pack
from models.scenarios import SCENARIOS

DAY = 19_000
NOW_S = DAY * 86_400.0


def grown(config: DetectionConfig | None = None, days: int = 200) -> Population:
    population = Population(config or DetectionConfig())
    for _ in range(days):
        population.begin_account_day(DAY, counted=True)
        for tail in population.tails:
            tail.reach(-1, 12)
    return population


def spent(population: Population) -> float:
    """Return the share of account days that the levels for a throttle let through, in all."""
    return sum(
        tail.probability(levels[0])
        for tail, levels in zip(population.tails, population.levels, strict=True)
    )


@pytest.mark.parametrize("budget", [0.1, 1, 10])
@pytest.mark.parametrize("off", [(), ("slow-drip",), ("slow-drip", "request-flood")])
def test_half_the_budget_is_spent_on_the_scenarios_that_are_on(
    budget: float, off: tuple[str, ...]
) -> None:
    config = DetectionConfig(
        false_throttles_per_1000_account_days=budget, scenarios=dict.fromkeys(off, "off")
    )
    assert spent(Population(config)) == pytest.approx(_SPENT * budget / 1_000)


def test_a_ban_asks_for_more_than_a_throttle() -> None:
    assert all(throttle < ban for throttle, ban in grown().levels)


def test_it_is_warm_once_it_has_seen_more_than_it_believed() -> None:
    assert not grown(days=int(BELIEF_ACCOUNT_DAYS) - 1).warm
    assert grown(days=int(BELIEF_ACCOUNT_DAYS)).warm


def test_a_suspect_begins_no_day_of_its_peers() -> None:
    population = grown()
    before = population.tails[0].days
    population.begin_account_day(DAY, counted=False)
    assert population.tails[0].days == before


def test_a_new_day_fades_the_past_once_whoever_comes_late() -> None:
    population = grown()
    before = population.tails[0].days
    for day in (DAY + 1, DAY, DAY + 1, DAY):
        population.begin_account_day(day, counted=False)
    assert population.tails[0].days == pytest.approx(0.9 * before)


def test_the_catalogue_is_as_told_and_otherwise_at_least_what_was_read() -> None:
    assert Population(DetectionConfig(catalogue_size=1_234)).catalogue_size == 1_234
    population = Population(DetectionConfig())
    assert population.catalogue_size == 1
    for pair in range(500):
        population.popularity.learn((pair,), pair)
    assert population.catalogue_size >= 500


def test_the_marker_stays_small_and_keeps_the_levels() -> None:
    population = grown()
    for tail in population.tails:
        tail.reach(-1, 120)
    data, rows = population.snapshot()
    assert len(data) < 20_000
    kept = Population(DetectionConfig())
    kept.restore(data, rows.get)
    assert kept.levels == population.levels
    assert kept.warm


def told(population: Population, readers: int = 300, now_s: float = NOW_S) -> bytes:
    """Let a population learn enough to tell, and return its digest."""
    for pair in range(readers):
        population.popularity.learn((pair,), int(now_s) + pair)
    digest = population.emit_digest(now_s)
    assert digest is not None
    return digest


def test_two_that_tell_each_other_judge_alike() -> None:
    one, other = grown(), grown(days=50)
    there, back = told(one), told(other)
    other.merge(there)
    one.merge(back)
    assert [tail.days for tail in one.tails] == [tail.days for tail in other.tails]
    assert [tail.reached for tail in one.tails] == [tail.reached for tail in other.tails]
    assert other.warm
    for tail in one.tails:
        tail.take_back(12)
    other.merge(told(one, now_s=NOW_S + DIGEST_EVERY_S))
    assert [tail.reached for tail in one.tails] == [tail.reached for tail in other.tails]


def test_there_is_no_digest_before_its_time_and_none_without_news() -> None:
    population = grown()
    assert population.emit_digest(NOW_S) is None
    told(population)
    for pair in range(300):
        population.popularity.learn((pair,), pair + 1)
    assert population.emit_digest(NOW_S + DIGEST_EVERY_S - 1) is None
    assert population.emit_digest(NOW_S + DIGEST_EVERY_S) is not None
    assert population.emit_digest(NOW_S + 2 * DIGEST_EVERY_S) is None


def test_a_digest_is_the_same_after_a_restart() -> None:
    population = grown()
    for pair in range(300):
        population.popularity.learn((pair,), pair)
    data, rows = population.snapshot()
    kept = Population(DetectionConfig())
    kept.restore(data, rows.get)
    assert kept.emit_digest(NOW_S) == population.emit_digest(NOW_S)


def test_a_scenario_that_only_others_have_switched_on_is_passed_over() -> None:
    population = Population(DetectionConfig(scenarios={"slow-drip": "off"}))
    population.merge(told(grown()))
    assert population.warm


@pytest.mark.parametrize(
    "digest",
    [
        b"",
        b"not a digest",
        msgspec.msgpack.encode([1, {}, [pack(array("I")), [0] * 9], [0] * 42]),
        msgspec.msgpack.encode([3, {}, [pack(array("I")), [0] * 9], [0] * 42]),
        msgspec.msgpack.encode([2, {"rm": [1, {121: 1}]}, [pack(array("I")), [0] * 9], [0] * 42]),
        msgspec.msgpack.encode([2, {"rm": [1, {}]}, [b"", [0] * 9], [0] * 42]),
        msgspec.msgpack.encode([2, {}, [pack(array("I", [7])), [0] * 9], [0] * 41]),
    ],
)
def test_what_is_no_digest_of_ours_is_refused_and_nothing_is_learned(digest: bytes) -> None:
    population = grown()
    before = population.snapshot()[0]
    with pytest.raises(DigestError, match=f"digest of {len(digest)} bytes: "):
        population.merge(digest)
    assert population.snapshot()[0] == before


def test_a_scenario_that_was_off_begins_with_belief_beside_what_is_known() -> None:
    data, rows = grown(DetectionConfig(scenarios={"slow-drip": "off"})).snapshot()
    population = Population(DetectionConfig())
    population.restore(data, rows.get)
    known = {s.name: t.days for (s, _), t in zip(population.signals, population.tails, strict=True)}
    assert known == {
        "catalogue-sweep": 200,
        "page-harvest": 200,
        "request-flood": 200,
        "slow-drip": 0,
    }
    population.begin_account_day(DAY, counted=True)


def test_names_and_codes_of_scenarios_and_signals_are_their_own() -> None:
    signals = [signal for scenario in SCENARIOS for signal in scenario.signals]
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({signal.code for signal in signals}) == len(signals)
    assert len({signal.name for signal in signals}) == len(signals)


def test_a_decision_called_wrong_makes_the_calibration_tighter_until_its_days_have_faded() -> None:
    population = grown(days=20_000)
    before = population.levels
    for _ in range(100):
        population.feedback(right=False)
    tighter = population.levels
    assert all(
        now > then or now == then in (signal.least, 2 * signal.least)
        for (_, signal), ours, theirs in zip(population.signals, tighter, before, strict=True)
        for now, then in zip(ours, theirs, strict=True)
    )
    again, rows = population.snapshot()
    restored = Population(DetectionConfig())
    restored.restore(again, rows.get)
    assert restored.levels == tighter
    for day in range(DAY + 1, DAY + 200):
        population.begin_account_day(day, counted=True)
    for _ in range(20_000):
        population.begin_account_day(DAY + 200, counted=True)
    assert population._spent > 0.95 * 0.5
