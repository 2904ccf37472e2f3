"""What the worlds add up to: tables, and what is still missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from scipy.stats import binomtest

from streams.simulate.attacks.table import ALONE, ATTACKS, TOGETHER
from tests.scenarios.figures import (
    BUCKET,
    BY_ITSELF,
    LATE_SHARE,
    OURS,
    PAIRS,
    TREES,
    WINDOW,
    CaseFigures,
    Figures,
    Result,
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
            "Groups: members named, members stopped and what leaks under enforcement, with each "
            "account judged for itself and with the groups' models.",
            groups(run),
            "Everybody else, as pairwatch treats them.",
            _others(run),
            "Day by day in the worlds without attack: false throttles of account-days of honest "
            "accounts.",
            _by_day(run),
            "Small services, watched from their first day on.",
            _small(run),
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
    return "\n\n".join(
        [
            _heading(run),
            _beside(run),
            _footnotes(run),
            groups(run),
            listing(missed(run), "- "),
        ]
    )


def _heading(run: Run) -> str:
    requests = sum(result.requests for result in run.results)
    at = {result.spec.intensity for result in run.results if result.spec.attacks} - {1.0}
    pace = "".join(f", attacks at {times:g} times their pace" for times in at)
    return (
        f"{len(run.results)} simulated worlds from seeds {listed(run.seeds)}, each of "
        f"{run.accounts:,} honest accounts and {run.days:g} days{pace}; {requests / 1e6:.1f} "
        f"million requests over {run.partitions} partition{'s' if run.partitions > 1 else ''}."
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


def groups(run: Run) -> str:
    """Return how attacks of groups fared, and what became of honest ones."""
    header = ["group", "members", "named", "stopped", "by itself", "first decision", "leaks",
              "by itself"]  # fmt: skip
    rows = []
    for attack in TOGETHER:
        cases, alone = run.cases(OURS, attack), run.cases(BY_ITSELF, attack)
        if not cases:
            continue
        after = [case.throttled_after_s for case in cases if case.throttled_after_s is not None]
        rows.append(
            [
                attack,
                str(len(cases)),
                percent(sum(case.in_group for case in cases), len(cases)),
                percent(len(after), len(cases)),
                percent(sum(case.throttled_after_s is not None for case in alone), len(alone)),
                span(median(after)) if after else DASH,
                _leak(cases),
                _leak(alone),
            ]
        )
    ours = [(result, result.figures[OURS]) for result in run.results]
    lines = [table(header, rows)] if rows else []
    for when, some in (
        ("without attack", [figures for result, figures in ours if not result.spec.attacks]),
        ("with attacks", [figures for result, figures in ours if result.spec.attacks]),
    ):
        days = sum(sum(figures.group_days.values()) for figures in some)
        wrong = sum(review.is_false for figures in some for review in figures.reviews)
        drawn_in = sum(len(figures.drawn_in) for figures in some)
        rate, interval = _rate(wrong, days, 10_000)
        lines.append(
            f"Worlds {when}: {wrong} false reviews on {days:,} group-days of honest links, {rate} "
            f"per 10,000 ({interval}); {drawn_in} honest accounts drawn in."
        )
    return "\n\n".join(lines)


def _others(run: Run) -> str:
    header = ["who", "account-days", "false throttles", "per 1,000", "95 %",
              "false bans", "per 100,000", "95 %"]  # fmt: skip
    ours = [(result, result.figures[OURS]) for result in run.results]
    kinds = sorted({kind for _, figures in ours for kind in figures.days})
    rows = [_other(kind, [figures for _, figures in ours], kind) for kind in kinds]
    for name in dict.fromkeys(result.spec.name for result, _ in ours):
        calm = [f for result, f in ours if result.spec.name == name and not result.spec.attacks]
        rows.append(_other(f"all, {name}, no attack", calm))
    rows.append(_other("all, with attacks", [f for result, f in ours if result.spec.attacks]))
    rows.append(_other("all", [figures for _, figures in ours]))
    return table(header, [row for row in rows if row[1] != "0"])


def _by_day(run: Run) -> str:
    calm = [result for result in run.results if not result.spec.attacks]
    worlds = dict.fromkeys(result.spec.name for result in calm)
    days = max((len(result.figures[OURS].by_day) for result in calm), default=0)
    rows = []
    for name in worlds:
        cells = []
        for day in range(days):
            counts = [
                result.figures[OURS].by_day[day]
                for result in calm
                if result.spec.name == name and day < len(result.figures[OURS].by_day)
            ]
            wrong, all_days = sum(two for _, two in counts), sum(one for one, _ in counts)
            cells.append(f"{wrong} of {all_days:,}")
        rows.append([name, *cells])
    return table(["world", *(f"day {day + 1}" for day in range(days))], rows)


def _small(run: Run) -> str:
    rows = []
    sizes = dict.fromkeys((r.spec.accounts, r.spec.catalogue_size) for r in run.small)
    for size in sizes:
        results = [r for r in run.small if (r.spec.accounts, r.spec.catalogue_size) == size]
        some = [result.figures[OURS] for result in results]
        row = [f"{size[0]:,} accounts, {size[1]:,} pairs"]
        for attack in dict.fromkeys(case.attack for figures in some for case in figures.cases):
            cases = [c for figures in some for c in figures.cases if c.attack == attack]
            after = [c.throttled_after_s for c in cases if c.throttled_after_s is not None]
            first = f"{span(min(after))} to {span(max(after))}" if after else "never"
            before = percent(sum(c.before_throttle for c in cases), sum(c.taken for c in cases))
            rows.append([*row, attack, f"{len(after)}/{len(cases)}", first, before, _leak(cases)])
        days = _sum(some, lambda figures: figures.days, None)
        wrong = _sum(some, lambda figures: figures.throttled, None)
        rows.append([*row, "false throttles", f"{wrong} of {days:,}", "", "", ""])
    return table(["service", "attack", "stopped", "first decision", "had by then", "leaks"], rows)


def _other(name: str, some: Sequence[Figures], kind: str | None = None) -> list[str]:
    days = _sum(some, lambda figures: figures.days, kind)
    row = [name, f"{days:,}"]
    for count, per in (
        (_sum(some, lambda figures: figures.throttled, kind), 1_000),
        (_sum(some, lambda figures: figures.banned, kind), 100_000),
    ):
        row += [str(count), *_rate(count, days, per)]
    return row


def _sum(
    some: Sequence[Figures], field: Callable[[Figures], dict[str, int]], kind: str | None
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
    header = ["attack", "what it does", "first decision", "banned", OURS, *_names(run.thresholds)]
    rows = []
    for attack, told in ATTACKS.items():
        if run.cases(OURS, attack):
            rows.append([attack, told.summary, *_met(run, [attack])])
    for name, attacks in (("alone", ALONE), ("together", TOGETHER)):
        if any(run.cases(OURS, attack) for attack in attacks):
            rows.append([f"**all who act {name}**", "", *_met(run, attacks)])
    for when, results in (
        ("no attack", [result for result in run.results if not result.spec.attacks]),
        ("with attacks", [result for result in run.results if result.spec.attacks]),
    ):
        throttles = [_throttles(results, detector) for detector in _DETECTORS]
        what = f"**false throttles**, {when}"
        rows.append([what, "per 1,000 account-days (95 %)", "", "", *throttles])
    return table(header, rows)


def _met(run: Run, attacks: Iterable[str]) -> list[str]:
    """Return how some attacks fared: the first decision and bans are ours."""
    cases, *others = (
        [case for attack in attacks for case in run.cases(detector, attack)]
        for detector in _DETECTORS
    )
    after = [case.throttled_after_s for case in cases if case.throttled_after_s is not None]
    first = span(median(after)) if len(after) * 2 > len(cases) else DASH
    banned = sum(case.banned_after_s is not None for case in cases)
    return [first, f"{banned}/{len(cases)}", _cell(cases), *map(_cell, others)]


def _throttles(results: Sequence[Result], detector: str) -> str:
    some = [result.figures[detector] for result in results]
    days = _sum(some, lambda figures: figures.days, None)
    rate, interval = _rate(_sum(some, lambda figures: figures.throttled, None), days, 1_000)
    return f"{rate} ({interval})"


def _names(thresholds: Thresholds) -> list[str]:
    return [
        "2 requests/s",
        "300 in 5 min",
        f"{thresholds.pairs:,.0f} pairs/day",
        "HalfSpaceTrees",
    ]


def _footnotes(run: Run) -> str:
    ours = [result.figures[OURS] for result in run.results]
    days = _sum(ours, lambda figures: figures.days, None)
    bans = _sum(ours, lambda figures: figures.banned, None)
    rate, interval = _rate(bans, days, 100_000)
    return (
        "Each cell: accounts stopped (at least throttled once) · what still leaks when decisions "
        "are enforced, as a share of the pairs that the accounts would have got with nobody "
        "watching (of the requests, for the flood that takes no pairs). The first decision is "
        "counted from the attack's first request, as a median, where most accounts got one. "
        "The two limits of requests are set as gateways commonly are (the first with a burst of "
        "40); a refused request counts as a throttle. The limit of pairs and the score of River's "
        "HalfSpaceTrees spend the budget of pairwatch on attack-free worlds of "
        f"seeds {listed(run.tuning_seeds)}; passing them shuts an account out until midnight, "
        f"and for an hour. False alarms are counted over {days:,} account-days of honest "
        f"accounts; {bans} of these saw a false ban by pairwatch, {rate} per 100,000 ({interval}). "
        "The intervals (95 %, Clopper–Pearson) take the days for independent, which those of one "
        "account are not quite."
    )


def _cell(cases: Sequence[CaseFigures]) -> str:
    stopped = sum(case.throttled_after_s is not None for case in cases)
    return f"{stopped}/{len(cases)} · {_leak(cases)}"


def _leak(cases: Sequence[CaseFigures]) -> str:
    taken = sum(case.taken for case in cases)
    if taken:
        return percent(sum(case.leaked for case in cases), taken)
    return percent(sum(case.passed for case in cases), sum(case.requests for case in cases))
