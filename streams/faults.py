"""Named places in a checkpoint at which a test ends, or suspends, the process.

A worker does nothing there: no setting and no variable can make it. A test's worker puts its own
function in the place of `reached` before it starts.
"""

from __future__ import annotations

from typing import Literal, get_args

Point = Literal[
    "decisions-sent",
    "forwarded",
    "cut",
    "decisions-acknowledged",
    "rows-logged",
    "marker-logged",
    "table-written",
    "checkpoint-done",
    "offsets-committed",
]
#: Every place there is, in the order in which a checkpoint comes by.
POINTS: tuple[Point, ...] = get_args(Point)


def reached(point: Point) -> None:
    """Take note of nothing; a few calls a second cost nothing."""
