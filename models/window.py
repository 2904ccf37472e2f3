"""What is counted of one account within a minute, an hour or a day, and when to look at it.

Counts are fields of their own instead of entries of lists: there they are objects, each somewhere
else in memory, and an event looks at a dozen of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: What a window holds, by position: when it began, then its counts by measure. Each on its own
#: line, so that they are constants to the compiler.
START: Final = 0
REQUESTS: Final = 1
LOAD: Final = 2
NEW_PAIRS: Final = 3
CHOICES: Final = 4
EVIDENCE: Final = 5
_NEVER_S: Final = float("-inf")


class Heights:
    """The counts at which a look is due, by place; the first of anything is worth one."""

    __slots__ = ("choices", "evidence", "load", "new_pairs")

    def __init__(self) -> None:
        self.load = self.new_pairs = self.choices = self.evidence = 1.0

    def at(self, place: int) -> float:
        """Return the height at a place, from `LOAD` on."""
        if place == LOAD:
            return self.load
        if place == NEW_PAIRS:
            return self.new_pairs
        return self.evidence if place == EVIDENCE else self.choices

    def put(self, place: int, height: float) -> None:
        """Change the height at a place."""
        if place == LOAD:
            self.load = height
        elif place == NEW_PAIRS:
            self.new_pairs = height
        elif place == EVIDENCE:
            self.evidence = height
        else:
            self.choices = height

    def to_wire(self) -> list[float]:
        """Return all of them, by place."""
        return [self.load, self.new_pairs, self.choices, self.evidence]

    @classmethod
    def from_wire(cls, wire: Sequence[float]) -> Heights:
        """Take up what `to_wire` returned, or the beginning of it."""
        heights = cls()
        for place, height in enumerate(wire, LOAD):
            heights.put(place, height)
        return heights


class Window:
    """Counts of a window that tumbles in event time, aligned to UTC.

    Parameters
    ----------
    scale_s
        Its length, seconds.

    Examples
    --------
    >>> minute = Window(60.0)
    >>> for ts in (130.0, 150.0):
    ...     minute.count(ts, 1, 1.0, 1.0, 1, 0.0)
    >>> minute.start_s, minute.requests, minute.new_pairs
    (120.0, 2, 2.0)
    """

    __slots__ = (
        "calm",
        "choices",
        "evidence",
        "heights",
        "load",
        "new_pairs",
        "requests",
        "scale_s",
        "start_s",
    )

    def __init__(self, scale_s: float) -> None:
        self.scale_s = scale_s
        #: When it began, Unix seconds.
        self.start_s = _NEVER_S
        self.requests = 0
        self.load = 0.0
        self.new_pairs = 0.0
        self.choices = 0
        self.evidence = 0.0
        self.heights = Heights()
        #: The heights to go back to with the next window, where they were raised in a suspicious
        #: one.
        self.calm: Heights | None = None

    def at(self, place: int) -> float:
        """Return the count at a place, from `LOAD` on."""
        if place == LOAD:
            return self.load
        if place == NEW_PAIRS:
            return self.new_pairs
        return self.evidence if place == EVIDENCE else float(self.choices)

    def count(
        self,
        ts: float,
        requests: int,
        load: float,
        new_pairs: float,
        choices: int,
        evidence: float,
    ) -> None:
        """Count what happened at `ts` (Unix seconds)."""
        scale_s = self.scale_s
        if ts >= self.start_s + scale_s:
            self.start_s = ts - ts % scale_s
            self.requests, self.load, self.new_pairs = requests, load, new_pairs
            self.choices, self.evidence = choices, evidence if evidence > 0 else 0.0
            self.calm_down()
        elif ts >= self.start_s - scale_s:
            # A window early is an ordinary delay; anything earlier belongs to windows that
            # are gone, and counting it here would make a crowd of a skewed clock.
            self.requests += requests
            self.load += load
            self.new_pairs += new_pairs
            if choices:
                self.choices += choices
                weighed = self.evidence + evidence
                self.evidence = weighed if weighed > 0 else 0.0

    def raise_height(self, place: int, height: float) -> None:
        """Look again at this count within the window, and at the usual one in the next."""
        if self.calm is None:
            self.calm = Heights.from_wire(self.heights.to_wire())
        self.heights.put(place, height)

    def calm_down(self) -> None:
        """Look at counts at the usual heights again."""
        if self.calm is not None:
            self.heights, self.calm = self.calm, None

    def look_afresh(self) -> None:
        """Look at the first of anything again, as on a new day."""
        self.heights, self.calm = Heights(), None

    def excuse(self) -> None:
        """Count anew what is judged, and look at it afresh; requests remain."""
        self.look_afresh()
        self.load = self.new_pairs = self.evidence = 0.0
        self.choices = 0

    def to_wire(self) -> list[int | float]:
        """Return the beginning and the counts, by position."""
        return [
            self.start_s,
            self.requests,
            self.load,
            self.new_pairs,
            self.choices,
            self.evidence,
        ]

    def restore(self, wire: Sequence[float]) -> None:
        """Take up what `to_wire` returned, or the beginning of it: the rest is none."""
        values = [*wire, *self.to_wire()[len(wire) :]]
        self.start_s, self.load, self.new_pairs = values[START], values[LOAD], values[NEW_PAIRS]
        self.requests, self.choices = int(values[REQUESTS]), int(values[CHOICES])
        self.evidence = values[EVIDENCE]
