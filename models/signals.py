"""The quantities that are measured, account by account, and judged against their peers."""

from __future__ import annotations

from typing import Literal

import msgspec

Measure = Literal["requests", "new_pairs"]

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
#: The time scales, shortest first; a profile keeps one tumbling window of each.
SCALES_S = (MINUTE_S, HOUR_S, DAY_S)
_SCALE_NAMES = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}
_IN_WORDS = {MINUTE_S: "in a minute", HOUR_S: "in an hour", DAY_S: "in a day"}
_MEASURE_NAMES: dict[str, str] = {
    "requests": "requests",
    "new_pairs": "pairs never read before",
}


class Signal(msgspec.Struct, frozen=True):
    """One count over one tumbling window.

    Parameters
    ----------
    measure
        What is counted: `requests`, or `new_pairs`: pairs of other accounts that this account
        had never been given before. Coverage is the damage a copier does, and somebody who
        looks at what is popular covers slowly.
    scale_s
        The window's length, one of `SCALES_S`.
    usual, excess
        What is believed of honest accounts before anything has been seen: half of all account
        days stay below `usual` in every window of the day, and one in a thousand passes
        `excess`. Traffic soon outweighs this belief.
    """

    measure: Measure
    scale_s: int
    usual: float
    excess: float

    @property
    def code(self) -> str:
        """Two letters that name the signal where space is short: `rm`, `nd`."""
        return self.measure[0] + _SCALE_NAMES[self.scale_s][0]

    @property
    def name(self) -> str:
        """The signal in words, as it stands in a decision's reasons."""
        return f"{_MEASURE_NAMES[self.measure]} {_IN_WORDS[self.scale_s]}"

    @property
    def unit(self) -> str:
        """The unit of its figures."""
        noun = "requests" if self.measure == "requests" else "pairs"
        return f"{noun} per {_SCALE_NAMES[self.scale_s]}"
