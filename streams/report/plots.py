"""A case over time, as the shapes of plots; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from models.decision import Decision
from streams.case import Case
from streams.render import moment
from streams.report.traffic import Traffic
from streams.wording import count, duration, figure

#: In the units of the drawing, which a browser scales to the page.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 800, 150, 64, 12, 20, 24
_INNER_WIDTH = WIDTH - LEFT - RIGHT
_FLOOR = HEIGHT - BOTTOM
#: A time axis takes about so many labels of sixteen characters.
_TICKS_MAX = 6
_STEPS_S = tuple(
    minutes * 60
    for minutes in (1, 2, 5, 10, 20, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 5_760, 10_080)
)
#: More marks than this would be a grey wall; then they go without their numbers.
_NUMBERED_MAX = 20


class Tick(NamedTuple):
    """A line of the grid and what stands beside it."""

    at: float
    label: str


class Curve(NamedTuple):
    """One plot over time, filled from the floor up."""

    title: str
    description: str
    path: str
    ticks: tuple[Tick, ...]


class Band(NamedTuple):
    """A time for which something was asked for."""

    x: float
    width: float
    action: str
    label: str
    words: str


class Plots(NamedTuple):
    """Everything that is drawn, on one time axis."""

    curves: tuple[Curve, ...]
    bands: tuple[Band, ...]
    times: tuple[Tick, ...]
    #: Where decisions fell.
    marks: tuple[Tick, ...]
    #: Decisions outside the time that is drawn.
    outside: int


class _Span(NamedTuple):
    start_s: float
    end_s: float

    def x(self, time_s: float) -> float:
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        return round(LEFT + _INNER_WIDTH * min(max(share, 0.0), 1.0), 1)

    def holds(self, time_s: float) -> bool:
        return self.start_s <= time_s <= self.end_s


def draw(case: Case, traffic: Traffic | None) -> Plots:
    """Return the plots of a case, with the traffic where a log has it."""
    span = _span(case, traffic)
    issued = [(_s(each.issued_at), each) for each in case.decisions]
    inside = [(at_s, each) for at_s, each in issued if span.holds(at_s)]
    numbered = len(inside) <= _NUMBERED_MAX
    return Plots(
        curves=(_pairs_by_decision(span, inside),) if traffic is None else _curves(span, traffic),
        bands=tuple(_bands(span, case.decisions)),
        times=tuple(_time_ticks(span)),
        marks=tuple(
            Tick(span.x(at_s), str(each.revision) if numbered else "") for at_s, each in inside
        ),
        outside=len(issued) - len(inside),
    )


def _s(time: str) -> float:
    return moment(time).timestamp()


def _span(case: Case, traffic: Traffic | None) -> _Span:
    """Return the time to draw: that of the traffic and the decision asked about, else of all."""
    if traffic is not None:
        asked_s = _s(case.asked.issued_at)
        times = [float(traffic.start_s), float(traffic.end_s), asked_s]
    else:
        times = [_s(each.issued_at) for each in case.decisions]
        times += [_s(each.expires_at) for each in case.decisions if each.expires_at is not None]
        times.append(_s(case.asked.evidence.window_start))
    margin_s = max(0.02 * (max(times) - min(times)), 60.0)
    return _Span(min(times) - (margin_s if traffic is None else 0), max(times) + margin_s)


def _curves(span: _Span, traffic: Traffic) -> tuple[Curve, ...]:
    buckets = range(min(traffic.requests), max(traffic.requests) + 1)
    rates = [traffic.requests.get(at, 0) * 60 / traffic.width_s for at in buckets]
    total, totals = 0.0, []
    for at in buckets:
        total += traffic.new_pairs.get(at, 0.0)
        totals.append(total)
    peak = max(range(len(rates)), key=rates.__getitem__)
    peak_s = (buckets[peak]) * traffic.width_s
    each = f"Each step is {duration(traffic.width_s)}."
    return (
        _steps(
            span,
            traffic,
            "Requests a minute",
            f"{count(sum(traffic.requests.values()), 'request')} in all, at most "
            f"{figure(rates[peak])} a minute, from {_clock(peak_s)} UTC. {each}",
            rates,
        ),
        _steps(
            span,
            traffic,
            "Distinct pairs of other people, in all",
            f"Up to {count(round(total), 'pair')} in the time shown. {each}",
            totals,
        ),
    )


def _steps(
    span: _Span, traffic: Traffic, title: str, description: str, values: list[float]
) -> Curve:
    top = _round_up(max(values))
    path, before = [f"M{span.x(traffic.start_s)} {_FLOOR}"], -1.0
    for number, value in enumerate(values):
        y = _y(value, top)
        if y != before:  # equal steps are one line: a quiet week costs nothing
            path.append(f"H{span.x(traffic.start_s + number * traffic.width_s)}V{y}")
        before = y
    path.append(f"H{span.x(traffic.end_s)}V{_FLOOR}Z")
    return Curve(title, description, "".join(path), _value_ticks(top))


def _pairs_by_decision(span: _Span, inside: list[tuple[float, Decision]]) -> Curve:
    """Return what the decisions say of pairs, where there is no log to count them in."""
    pairs = [each.evidence.distinct_pairs for _, each in inside]
    top = _round_up(max(pairs, default=0))
    bars = (
        f"M{x - 3:.1f} {_FLOOR}V{_y(number, top)}h6V{_FLOOR}Z"
        for x, number in zip((span.x(at_s) for at_s, _ in inside), pairs, strict=True)
    )
    return Curve(
        "Distinct pairs of other people that day, at each decision",
        f"At most {count(max(pairs, default=0), 'pair')}.",
        "".join(bars),
        _value_ticks(top),
    )


def _bands(span: _Span, decisions: Iterable[Decision]) -> Iterable[Band]:
    """Yield what was asked for, and until when: to its end, or to the decision that replaced it."""
    ordered = list(decisions)
    for decision, following in zip(ordered, [*ordered[1:], None], strict=True):
        if decision.action == "release":
            continue
        start_s = _s(decision.issued_at)
        end_s = span.end_s if decision.expires_at is None else _s(decision.expires_at)
        if following is not None:
            end_s = min(end_s, _s(following.issued_at))
        if end_s < span.start_s or start_s > span.end_s:
            continue
        x = span.x(start_s)
        limit = decision.limit_per_minute
        label = decision.action if limit is None else f"{figure(limit)}/min"
        yield Band(
            x=x,
            width=round(max(span.x(end_s) - x, 1.0), 1),
            action=decision.action,
            label=label,
            words=f"Revision {decision.revision}: {decision.action}"
            + ("" if limit is None else f" to {figure(limit)} requests a minute"),
        )


def _time_ticks(span: _Span) -> Iterable[Tick]:
    whole_s = span.end_s - span.start_s
    weeks = _STEPS_S[-1] * math.ceil(whole_s / _TICKS_MAX / _STEPS_S[-1])
    step_s = next((step for step in _STEPS_S if whole_s / step <= _TICKS_MAX), weeks)
    at_s = math.ceil(span.start_s / step_s) * step_s
    while at_s <= span.end_s:
        yield Tick(span.x(at_s), _clock(at_s))
        at_s += step_s


def _clock(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, … above a value."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 2, 5, 10) if size * step >= value * (1 - 1e-9))


def _y(value: float, top: float) -> float:
    return round(_FLOOR - (_FLOOR - TOP) * min(value / top, 1.0), 1)


def _value_ticks(top: float) -> tuple[Tick, ...]:
    return tuple(Tick(_y(value, top), figure(value)) for value in (0.0, top / 2, top))
