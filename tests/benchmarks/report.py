"""From measurements to a table, a file for programs and a chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import median

import msgspec
from rich.table import Table

from tests.benchmarks.measure import Measurement
from tests.benchmarks.subjects import BARE, NOTHING, Subject

_BAR_PX, _LABEL_PX, _ROW_PX, _NUMBER_PX = 360, 290, 30, 130


class Row(msgspec.Struct, frozen=True):
    """A subject's medians; a ratio is to another subject in the same round of runs.

    `rate` compares events per second, `work` events per second of processor time: on a busy
    machine the second says more.
    """

    name: str
    label: str
    events_per_s: float
    cpu_seconds_per_100k: float
    peak_mib: float
    rate_to_limit: float | None
    rate_to_nothing: float | None
    work_to_limit: float | None
    work_to_nothing: float | None
    runs: list[Measurement]


def rows(subjects: Sequence[Subject], runs: Mapping[str, list[Measurement]]) -> list[Row]:
    """Sum up the subjects that could be measured."""
    return [
        Row(
            name=subject.name,
            label=subject.label,
            events_per_s=median(run.events_per_s for run in runs[subject.name]),
            cpu_seconds_per_100k=median(run.cpu_seconds_per_100k for run in runs[subject.name]),
            peak_mib=median(run.peak_mib for run in runs[subject.name]),
            rate_to_limit=_ratio(_rate, runs[subject.name], runs.get(BARE, [])),
            rate_to_nothing=_ratio(_rate, runs[subject.name], runs.get(NOTHING, [])),
            work_to_limit=_ratio(_work, runs[subject.name], runs.get(BARE, [])),
            work_to_nothing=_ratio(_work, runs[subject.name], runs.get(NOTHING, [])),
            runs=runs[subject.name],
        )
        for subject in subjects
        if runs.get(subject.name)
    ]


def _rate(run: Measurement) -> float:
    return run.events_per_s


def _work(run: Measurement) -> float:
    return run.events / run.cpu_seconds


def _ratio(
    of: Callable[[Measurement], float],
    ours: Sequence[Measurement],
    theirs: Sequence[Measurement],
) -> float | None:
    # Neighbours in time share what else the machine was doing.
    pairs = zip(ours, theirs, strict=False)
    return median([of(a) / of(b) for a, b in pairs]) if theirs else None


def table(found: Sequence[Row]) -> Table:
    """Return the table that is printed."""
    out = Table(box=None, pad_edge=False)
    out.add_column("")
    titles = (
        "events/s",
        "of limit",
        "× nothing",
        "CPU s / 100,000",
        "of limit",
        "× nothing",
        "MiB",
    )
    for title in titles:
        out.add_column(title, justify="right")
    for row in found:
        out.add_row(
            row.label,
            f"{row.events_per_s:,.0f}",
            "" if row.rate_to_limit is None else f"{row.rate_to_limit:.0%}",
            "" if row.rate_to_nothing is None else f"{row.rate_to_nothing:.1f}",
            f"{row.cpu_seconds_per_100k:.2f}",
            "" if row.work_to_limit is None else f"{row.work_to_limit:.0%}",
            "" if row.work_to_nothing is None else f"{row.work_to_nothing:.1f}",
            f"{row.peak_mib:,.0f}",
        )
    return out


def chart(found: Sequence[Row]) -> str:
    """Draw the rates as bars, SVG."""
    fastest = max(row.events_per_s for row in found)
    width, height = _LABEL_PX + _BAR_PX + _NUMBER_PX, _ROW_PX * (len(found) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LABEL_PX}" y="20" fill="#555555">events per second, one core</text>',
    ]
    for n, row in enumerate(found, start=1):
        y, bar = _ROW_PX * n, _BAR_PX * row.events_per_s / fastest
        colour = "#1f6f8b" if row.label.startswith("pairwatch") else "#b8c4ca"
        parts += [
            f'<text x="{_LABEL_PX - 10}" y="{y + 18}" text-anchor="end">{escape(row.label)}</text>',
            f'<rect x="{_LABEL_PX}" y="{y + 4}" width="{bar:.1f}" height="20" fill="{colour}"/>',
            f'<text x="{_LABEL_PX + bar + 8:.1f}" y="{y + 18}">{row.events_per_s:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
