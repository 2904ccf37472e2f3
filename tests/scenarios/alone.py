"""One scenario by itself against simulated traffic, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.config import DetectionConfig
from models.decision import Decision
from models.scenarios import SCENARIOS
from streams.simulate import Label, simulate
from tests.contract import assert_valid_decision
from tests.scenarios.evaluate import Pairwatch, evaluate


@dataclass(frozen=True)
class Told:
    """The decisions of a run, each one valid, beside the truth."""

    decisions: list[Decision]
    labels: list[Label]

    @property
    def honest(self) -> list[Decision]:
        """Decisions about accounts that did no wrong."""
        honest = {label.account_id for label in self.labels if label.honest}
        return [decision for decision in self.decisions if decision.value in honest]

    def about(self, attack: str) -> list[list[Decision]]:
        """Return the decisions about each member of an attack."""
        members = [label.account_id for label in self.labels if label.attack == attack]
        return [[one for one in self.decisions if one.value == member] for member in members]


def alone(
    scenario: str,
    mix: str,
    attacks: Sequence[str] = (),
    *,
    seed: int,
    days: float,
    accounts: int = 150,
    partitions: int = 1,
    catalogue_size: int = 20_000,
) -> Told:
    """Judge a small simulated world with every other scenario switched off."""
    config = DetectionConfig(
        scenarios={other.name: "off" for other in SCENARIOS if other.name != scenario}
    )
    world = simulate(
        mix,
        seed=seed,
        accounts=accounts,
        days=days,
        attacks=attacks,
        catalogue_size=catalogue_size,
    )
    decisions = evaluate(world, Pairwatch(config, partitions)).decisions
    for decision in decisions:
        assert_valid_decision(decision)
        assert decision.scenario == scenario
    return Told(decisions, world.labels)
