"""What the worlds add up to: tables, and what is still missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from scipy.stats import binomtest

from streams.simulate.attacks.table import ALONE, ATTACKS, TOGETHER
from tests.scenarios.figures import (
    BUCKET,
    LATE_SHARE,
    OURS,
    PAIRS,
    TREES,
    WINDOW,
    CaseFigures,
    Figures,
    Run,
    Thresholds,
)
from tests.scenarios.misses import false_alarms, late, missed
from tests.scenarios.text import DASH, listed, listing, percent, span, table

_DETECTORS = (OURS, BUCKET, WINDOW, PAIRS, TREES)


def everything(run: Run) -> str:
    """Return the whole report as text."""
    return "\n\n".join(
        [
            _heading(run),
            "Attacks, as pairwatch meets them. Pairs are those of all its accounts together.",
            _attacks(run),
            "Everybody else, as pairwatch treats them.",
            _others(run),
            "Beside simple baselines: accounts stopped · share leaked under enforcement.",
            _beside(run),
            _footnotes(run),
            "Missed or late:\n" + listing(missed(run)),
            f"Cases that were missed, or kept more than {LATE_SHARE:.0%}:\n" + listing(late(run)),
            "False alarms:\n" + listing(false_alarms(run)),
        ]
    )


def for_readme(run: Run) -> str:
    """Return the one table of the README, and what is missed."""
    return "\n\n".join([_heading(run), _beside(run), _footnotes(run), listing(missed(run), "- ")])


def _heading(run: Run) -> str:
    requests = sum(result.requests for result in run.results)
    return (
        f"{len(run.results)} simulated worlds from seeds {listed(run.seeds)}, each of "
        f"{run.accounts:,} honest accounts and {run.days:g} days; {requests / 1e6:.1f} million "
        f"requests over {run.partitions} partition{'s' if run.partitions > 1 else ''}."
    )


def _attacks(run: Run) -> str:
    header = [
        "attack", "accounts", "stopped", "banned", "to 1st decision", "worst",
        "pairs before it", "of its loot", "of catalogue",
        "pairs before ban", "of its loot", "of catalogue", "leaks enforced",
    ]  # fmt: skip
    rows = []
    for attack in ATTACKS:
        cases = run.cases(OURS, attack)
        if not cases:
            continue
        worlds = [result for result in run.results if attack in result.spec.attacks]
        after = [case.throttled_after_s for case in cases if case.throttled_after_s is not None]
        row = [
            attack,
            str(len(cases)),
            percent(len(after), len(cases)),
            percent(sum(case.banned_after_s is not None for case in cases), len(cases)),
            span(median(after)) if after else DASH,
            span(max(after)) if after else DASH,
        ]
        taken = sum(case.taken for case in cases)
        catalogue = sum(world.catalogue_size for world in worlds)
        for leaked in (
            sum(case.before_throttle for case in cases),
            sum(case.before_ban for case in cases),
        ):
            row += [f"{leaked / len(worlds):,.0f}", percent(leaked, taken)]
            row.append(percent(leaked, catalogue))
        rows.append([*row, _leak(cases)])
    return table(header, rows)


def _others(run: Run) -> str:
    header = ["who", "account-days", "false throttles", "per 1,000", "95 %",
              "false bans", "per 100,000", "95 %"]  # fmt: skip
    ours = [(result, result.figures[OURS]) for result in run.results]
    kinds = sorted({kind for _, figures in ours for kind in figures.days})
    rows = [_other(kind, [figures for _, figures in ours], kind) for kind in kinds]
    rows += [
        _other(f"all, {name}, no attack", [f for r, f in ours if not r.spec.attacks
               and r.spec.name == name])
        for name in dict.fromkeys(r.spec.name for r, _ in ours if not r.spec.attacks)
    ]  # fmt: skip
    rows.append(_other("all, with attacks", [f for r, f in ours if r.spec.attacks]))
    rows.append(_other("all", [figures for _, figures in ours]))
    return table(header, [row for row in rows if row[1] != "0"])


def _other(name: str, some: Iterable[Figures], kind: str | None = None) -> list[str]:
    row = [name]
    some = list(some)
    days = _sum(some, lambda figures: figures.days, kind)
    row.append(f"{days:,}")
    for count, per in (
        (_sum(some, lambda figures: figures.throttled, kind), 1_000),
        (_sum(some, lambda figures: figures.banned, kind), 100_000),
    ):
        row += [str(count), *_rate(count, days, per)]
    return row


def _sum(
    some: Iterable[Figures], field: Callable[[Figures], dict[str, int]], kind: str | None
) -> int:
    return sum(
        field(figures).get(kind, 0) if kind else sum(field(figures).values()) for figures in some
    )


def _rate(count: int, days: int, per: int) -> tuple[str, str]:
    """Return a rate and its 95 % interval (Clopper–Pearson, 1934)."""
    if not days:
        return DASH, DASH
    interval = binomtest(count, days).proportion_ci(0.95, method="exact")
    low, high = interval.low * per, interval.high * per
    return f"{count / days * per:.2f}", f"{low:.2f}–{high:.2f}"


def _beside(run: Run) -> str:
    header = ["attack", "what it does", "first decision", OURS, *_names(run.thresholds)]
    rows = []
    for attack, told in ATTACKS.items():
        cases = run.cases(OURS, attack)
        after = [case.throttled_after_s for case in cases if case.throttled_after_s is not None]
        if not cases:
            continue
        first = span(median(after)) if len(after) * 2 > len(cases) else DASH
        cells = [_cell(run.cases(detector, attack)) for detector in _DETECTORS]
        rows.append([attack, told.summary, first, *cells])
    for name, attacks in (
        ("all who act alone", list(ALONE)),
        ("all who act together", list(TOGETHER)),
    ):
        cells = [
            _cell([case for attack in attacks for case in run.cases(detector, attack)])
            for detector in _DETECTORS
        ]
        rows.append([f"**{name}**", "", "", *cells])
    for what, per, field in (
        ("false throttles", 1_000, lambda figures: figures.throttled),
        ("false bans", 100_000, lambda figures: figures.banned),
    ):
        cells = []
        for detector in _DETECTORS:
            some = [result.figures[detector] for result in run.results]
            days = _sum(some, lambda figures: figures.days, None)
            count = _sum(some, field, None)
            rate, interval = _rate(count, days, per)
            cells.append(f"{rate} ({interval})")
        if what == "false bans":  # the others only throttle
            cells = [cells[0], *[DASH] * (len(_DETECTORS) - 1)]
        rows.append([f"**{what}**", f"per {per:,} account-days (95 %)", "", *cells])
    return table(header, rows)


def _names(thresholds: Thresholds) -> list[str]:
    return [
        "2 requests/s",
        "300 in 5 min",
        f"{thresholds.pairs:,.0f} pairs/day",
        "HalfSpaceTrees",
    ]


def _footnotes(run: Run) -> str:
    days = sum(sum(result.figures[OURS].days.values()) for result in run.results)
    return (
        "Each cell: accounts stopped (at least throttled once) · what still leaks when decisions "
        "are enforced, as a share of the pairs that the accounts would have got with nobody "
        "watching (of the requests, for the flood that takes no pairs). The first decision is "
        "counted from the attack's first request, as a median, where most accounts got one. "
        "The two limits of requests are set as gateways commonly are (the first with a burst of "
        "40); a refused request counts as a throttle. The limit of pairs and the score of River's "
        "HalfSpaceTrees spend 1 false throttle per 1,000 account-days on attack-free worlds of "
        f"seeds {listed(run.tuning_seeds)}; passing them shuts an account out until midnight, "
        f"and for an hour. False alarms are counted over {days:,} account-days of honest "
        "accounts; the intervals (Clopper–Pearson) take the days for independent, which those of "
        "one account are not quite."
    )


def _cell(cases: Sequence[CaseFigures]) -> str:
    stopped = sum(case.throttled_after_s is not None for case in cases)
    return f"{stopped}/{len(cases)} · {_leak(cases)}"


def _leak(cases: Sequence[CaseFigures]) -> str:
    taken = sum(case.taken for case in cases)
    if taken:
        return percent(sum(case.leaked for case in cases), taken)
    return percent(sum(case.passed for case in cases), sum(case.requests for case in cases))
