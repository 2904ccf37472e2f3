"""The worlds of a run: which attacks share one, and how all detectors judge it."""

from __future__ import annotations

from collections.abc import Collection

from models.config import DetectionConfig
from streams.simulate import simulate
from streams.simulate.attacks.table import ALONE, ATTACKS, TOGETHER
from tests.scenarios.baselines import FixedWindow, LeakyBucket, PairsADay, Trees
from tests.scenarios.evaluate import Pairwatch, evaluate_all
from tests.scenarios.figures import (
    BUCKET,
    BY_ITSELF,
    OURS,
    PAIRS,
    TREES,
    WINDOW,
    Result,
    Spec,
    Thresholds,
    figures_of,
)

#: Attackers are at most this part of a world: what many do is no anomaly any more.
_ATTACKERS_MAX = 0.03
#: Worlds of one seed are this far apart, so that no two have the same honest customers.
_SEEDS_APART = 1_000
#: Small services: honest accounts, and pairs. The attacks begin on the first day.
_SMALL = ((100, 3_000), (300, 10_000))
_SMALL_DAYS_MAX = 3.0
_SMALL_ATTACKS = ("steady-scraper", "slow-drip", "id-walk", "search-harvest")


def plan(
    seeds: list[int],
    accounts: int,
    days: float,
    attacks: Collection[str] = tuple(ATTACKS),
    intensity: float = 1.0,
) -> list[Spec]:
    """Return the worlds for these seeds, those that take longest first.

    For each seed there is one of all who attack alone, some of groups, and three without attack.
    """
    alone = tuple(name for name in ALONE if name in attacks)
    together = [name for name in TOGETHER if name in attacks]
    contents = [
        *([("ordinary", alone)] if alone else []),
        *(("ordinary", names) for names in _packed(together, int(accounts * _ATTACKERS_MAX))),
        ("ordinary", ()),
        ("honest-groups", ()),
        ("holiday", ()),
    ]
    return [
        Spec(name, seed + _SEEDS_APART * place, accounts, days, names, intensity)
        for place, (name, names) in enumerate(contents)
        for seed in seeds
    ]


def plan_small(
    seeds: list[int], days: float, attacks: Collection[str], intensity: float
) -> list[Spec]:
    """Return worlds of small services, which have only begun to be watched."""
    names = tuple(name for name in _SMALL_ATTACKS if name in attacks)
    days = min(days, _SMALL_DAYS_MAX)
    return [
        Spec("ordinary", seed, accounts, days, names, intensity, catalogue_size)
        for seed in seeds
        for accounts, catalogue_size in _SMALL
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
        intensity=spec.intensity,
        catalogue_size=spec.catalogue_size,
    )
    outcomes = evaluate_all(
        world,
        {
            OURS: Pairwatch(config, partitions),
            # Only groups are compared with and without their models.
            **(
                {BY_ITSELF: Pairwatch(config, partitions, groups=False)}
                if TOGETHER.keys() & set(spec.attacks)
                else {}
            ),
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
        figures={name: figures_of(world, outcome) for name, outcome in outcomes.items()},
    )
