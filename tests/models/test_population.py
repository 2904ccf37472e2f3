"""Peers are counted by their days, budgets are shared out, and its marker stays small."""

from __future__ import annotations

import pytest

from models.calibration import BELIEF_ACCOUNT_DAYS
from models.config import DetectionConfig
from models.population import Population
from models.scenarios import SCENARIOS

DAY = 19_000


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
def test_the_whole_budget_is_spent_on_the_scenarios_that_are_on(
    budget: float, off: tuple[str, ...]
) -> None:
    config = DetectionConfig(
        false_throttles_per_1000_account_days=budget, scenarios=dict.fromkeys(off, "off")
    )
    assert spent(Population(config)) == pytest.approx(budget / 1_000)


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
        population.popularity.learn(pair, pair)
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


def test_a_scenario_that_was_off_begins_with_belief_beside_what_is_known() -> None:
    data, rows = grown(DetectionConfig(scenarios={"slow-drip": "off"})).snapshot()
    population = Population(DetectionConfig())
    population.restore(data, rows.get)
    known = {s.name: t.days for (s, _), t in zip(population.signals, population.tails, strict=True)}
    assert known == {"catalogue-sweep": 200, "request-flood": 200, "slow-drip": 0}
    population.begin_account_day(DAY, counted=True)


def test_names_and_codes_of_scenarios_and_signals_are_their_own() -> None:
    signals = [signal for scenario in SCENARIOS for signal in scenario.signals]
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({signal.code for signal in signals}) == len(signals)
    assert len({signal.name for signal in signals}) == len(signals)
