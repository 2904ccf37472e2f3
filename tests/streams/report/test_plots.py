"""The shapes of the plots stay within their frame and say what the decisions say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Decision, rfc3339
from streams.case import Case
from streams.report.plots import HEIGHT, LEFT, RIGHT, WIDTH, Plots, draw
from streams.report.traffic import Traffic
from tests.decisions import NOW_S, ban, decision
from tests.models.traffic import views

HOUR_S = 3_600.0


def issued(at_s: float, revision: int, lasts_s: float | None = HOUR_S, **changes: Any) -> Decision:
    times = {
        "issued_at": rfc3339(NOW_S + at_s),
        "expires_at": None if lasts_s is None else rfc3339(NOW_S + at_s + lasts_s),
    }
    return decision(revision, **(times | changes))


def case_of(*decisions: Decision, asked: int = -1) -> Case:
    about = decisions[asked]
    return Case(about.scope, about.value, about, decisions, None, "")


def traffic(start_s: float, requests: int = 600, apart_s: float = 6.0) -> Traffic:
    found = Traffic()
    for each in views("a", NOW_S + start_s, apart_s, (f"p_{n}" for n in range(requests))):
        found.add(each)
    return found


def all_x(plots: Plots) -> list[float]:
    found = [tick.at for tick in (*plots.times, *plots.marks)]
    found += [band.x for band in plots.bands] + [band.x + band.width for band in plots.bands]
    for curve in plots.curves:
        found += [float(x) for x in re.findall(r"[MH](-?[\d.]+)", curve.path)]
    return found


@given(
    at=st.lists(st.integers(0, 10**9), min_size=1, max_size=30, unique=True),
    lasts_s=st.integers(0, 10**7),
    with_traffic=st.booleans(),
    start_s=st.integers(-(10**8), 10**8),
)
def test_whatever_the_times_everything_is_drawn_within_the_frame(
    at: list[int], lasts_s: int, with_traffic: bool, start_s: int
) -> None:
    decisions = [issued(at_s, n, lasts_s) for n, at_s in enumerate(sorted(at), start=1)]
    plots = draw(case_of(*decisions), traffic(start_s, 20) if with_traffic else None)
    # A bar is six wide, and a band at least one.
    assert all(LEFT - 4 <= x <= WIDTH - RIGHT + 4 for x in all_x(plots))
    assert len(plots.times) <= 7
    assert len(plots.marks) + plots.outside == len(decisions)
    for curve in plots.curves:
        ys = [float(y) for y in re.findall(r"V(-?[\d.]+)", curve.path)]
        assert all(0 <= y <= HEIGHT for y in ys)


def test_a_decision_is_drawn_until_the_next_one_takes_its_place() -> None:
    first, second = draw(case_of(issued(0, 1), issued(1_800, 2)), None).bands
    assert first.x + first.width == pytest.approx(second.x, abs=0.2)
    assert second.width == pytest.approx(2 * first.width, rel=0.02)


def test_what_was_lifted_ends_there_and_a_release_is_no_band() -> None:
    lifted = issued(1_800, 2, None, action="release", limit_per_minute=None)
    plots = draw(case_of(issued(0, 1), lifted, asked=0), None)
    assert [band.action for band in plots.bands] == ["throttle"]
    assert plots.bands[0].x + plots.bands[0].width == pytest.approx(plots.marks[1].at, abs=0.2)


def test_bands_say_the_limit_or_the_action() -> None:
    plots = draw(case_of(issued(0, 1), ban(2, issued_at=rfc3339(NOW_S + 60))), None)
    assert [band.label for band in plots.bands] == ["0.5/min", "ban"]
    assert plots.bands[0].words == "Revision 1: throttle to 0.5 requests a minute"


def test_with_traffic_its_time_is_drawn_and_what_fell_outside_is_counted() -> None:
    plots = draw(case_of(issued(-(10**6), 1), issued(1_800, 2)), traffic(0))
    assert [mark.label for mark in plots.marks] == ["2"]
    assert plots.outside == 1
    assert [curve.title for curve in plots.curves] == [
        "Requests a minute",
        "Distinct pairs of other people, in all",
    ]
    assert plots.curves[0].description.startswith("600 requests in all, at most 10 a minute")
    assert re.match(r"Up to (5\d\d|6\d\d) pairs", plots.curves[1].description)


def test_without_traffic_the_pairs_are_those_of_the_decisions() -> None:
    (curve,) = draw(case_of(issued(0, 1)), None).curves
    assert curve.description == "At most 4,120 pairs."


def test_many_marks_go_without_numbers() -> None:
    plots = draw(case_of(*(issued(60 * n, n) for n in range(1, 40))), None)
    assert {mark.label for mark in plots.marks} == {""}
