"""The worlds of a run: which attacks share one, and what each detector did there, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from models.config import DetectionConfig
from models.decision import Decision
from streams.render import moment
from streams.simulate import World, simulate
from streams.simulate.attacks.table import ALONE, ATTACKS, TOGETHER
from tests.scenarios.baselines import FixedWindow, LeakyBucket, PairsADay, Trees
from tests.scenarios.evaluate import Case, Outcome, evaluate_all, pairwatch

#: Attackers are at most this part of a world: what many do is no anomaly any more.
_ATTACKERS_MAX = 0.03
#: Worlds of one seed are this far apart, so that no two have the same honest customers.
_SEEDS_APART = 1_000
OURS, BUCKET, WINDOW, PAIRS, TREES = "pairwatch", "bucket", "window", "pairs", "trees"


class Thresholds(msgspec.Struct, frozen=True):
    """What the tuned baselines were tuned to: pairs a day, and a score of 0–1."""

    pairs: float
    trees: float


class Spec(msgspec.Struct, frozen=True):
    """A world to be judged."""

    name: str
    seed: int
    accounts: int
    days: float
    attacks: tuple[str, ...]


class CaseFigures(msgspec.Struct, frozen=True):
    """A `Case` in figures: seconds count from the attack's first request."""

    attack: str
    account_id: str
    kind: str
    throttled_after_s: float | None
    banned_after_s: float | None
    taken: int
    before_throttle: int
    before_ban: int
    leaked: int
    requests: int
    passed: int
    active_days: float
    first_decision: str


class FalseAlarm(msgspec.Struct, frozen=True):
    """A decision against an honest account."""

    account_id: str
    kind: str
    decision: str


class Figures(msgspec.Struct, frozen=True):
    """An `Outcome` in figures."""

    cases: list[CaseFigures]
    days: Counter[str]
    throttled: Counter[str]
    banned: Counter[str]
    false_alarms: list[FalseAlarm]


class Result(msgspec.Struct, frozen=True):
    """What became of a world, detector by detector."""

    spec: Spec
    requests: int
    catalogue_size: int
    figures: dict[str, Figures]


def plan(
    seeds: list[int], accounts: int, days: float, attacks: Collection[str] = tuple(ATTACKS)
) -> list[Spec]:
    """Return the worlds for these seeds, those that take longest first.

    For each seed there is one of all who attack alone, some of groups, and two without attack.
    """
    alone = tuple(name for name in ALONE if name in attacks)
    together = [name for name in TOGETHER if name in attacks]
    contents = [
        *([("ordinary", alone)] if alone else []),
        *(("ordinary", names) for names in _packed(together, int(accounts * _ATTACKERS_MAX))),
        ("ordinary", ()),
        ("honest-groups", ()),
    ]
    return [
        Spec(name, seed + _SEEDS_APART * place, accounts, days, names)
        for place, (name, names) in enumerate(contents)
        for seed in seeds
    ]


def _packed(names: list[str], members_max: int) -> list[tuple[str, ...]]:
    """Share out the attacks of groups over as few worlds as their size allows."""
    packs: list[list[str]] = []
    for name in sorted(names, key=lambda name: -TOGETHER[name].members):
        for pack in packs:
            if sum(TOGETHER[other].members for other in (*pack, name)) <= members_max:
                pack.append(name)
                break
        else:
            packs.append([name])
    return [tuple(pack) for pack in packs]


def tuning_peaks(seed: int, accounts: int, days: float) -> tuple[list[float], list[float]]:
    """Return how far the account days of a world without attack reach: pairs, and trees."""
    pairs, trees = PairsADay(), Trees()
    world = simulate("ordinary", seed=seed, accounts=accounts, days=days)
    evaluate_all(world, {PAIRS: pairs, TREES: trees})
    return list(pairs.peaks.values()), list(trees.peaks.values())


def judge(spec: Spec, config: DetectionConfig, partitions: int, thresholds: Thresholds) -> Result:
    """Run a world through all detectors."""
    world = simulate(
        spec.name,
        seed=spec.seed,
        accounts=spec.accounts,
        days=spec.days,
        attacks=spec.attacks,
    )
    outcomes = evaluate_all(
        world,
        {
            OURS: pairwatch(config, partitions),
            BUCKET: LeakyBucket(),
            WINDOW: FixedWindow(),
            PAIRS: PairsADay(thresholds.pairs),
            TREES: Trees(thresholds.trees),
        },
    )
    return Result(
        spec=spec,
        requests=next(iter(outcomes.values())).requests,
        catalogue_size=world.catalogue_size,
        figures={name: _figures(world, outcome) for name, outcome in outcomes.items()},
    )


def _figures(world: World, outcome: Outcome) -> Figures:
    by_account: dict[str, list[Decision]] = {}
    for decision in outcome.decisions:
        by_account.setdefault(decision.value, []).append(decision)
    return Figures(
        cases=[_case(case, by_account.get(case.label.account_id, [])) for case in outcome.cases],
        days=outcome.days,
        throttled=outcome.throttled,
        banned=outcome.banned,
        false_alarms=[
            FalseAlarm(label.account_id, label.kind, in_words(decision))
            for label in world.labels
            if label.honest
            for decision in by_account.get(label.account_id, [])
        ],
    )


def _case(case: Case, decisions: list[Decision]) -> CaseFigures:
    label = case.label
    first_s = case.first_s or 0.0
    stopped = [
        decision
        for decision in decisions
        if moment(decision.issued_at).timestamp() >= (label.attack_start_s or 0.0)
    ]
    return CaseFigures(
        attack=label.attack or "",
        account_id=label.account_id,
        kind=label.kind,
        throttled_after_s=None if case.throttled_s is None else case.throttled_s - first_s,
        banned_after_s=None if case.banned_s is None else case.banned_s - first_s,
        taken=len(case.taken),
        before_throttle=case.before_throttle,
        before_ban=case.before_ban,
        leaked=len(case.leaked),
        requests=case.requests,
        passed=case.passed,
        active_days=max(((label.attack_end_s or first_s) - first_s) / 86_400, 1.0),
        first_decision=in_words(stopped[0]) if stopped else "",
    )


def in_words(decision: Decision) -> str:
    """Return a decision and its three strongest reasons in one line."""
    reasons = "; ".join(
        f"{reason.observed:g} {reason.signal} (usual {reason.expected:g})"
        for reason in decision.reasons[:3]
    )
    return f"{decision.issued_at} {decision.action} {decision.scenario}: {reasons}"
