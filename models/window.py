"""What is counted of one account within a minute, an hour or a day, and when to look at it.

Counts are fields of their own instead of entries of lists: there they are objects, each somewhere
else in memory, and an event looks at a dozen of them.
"""

from __future__ import annotations

from typing import Final

#: What a window holds, by position: when it began, then its counts by measure. Each on its own
#: line, so that they are constants to the compiler.
START: Final = 0
REQUESTS: Final = 1
LOAD: Final = 2
NEW_PAIRS: Final = 3
CHOICES: Final = 4
EVIDENCE: Final = 5
PASSED: Final = 6
PATIENCE: Final = 7
_NEVER_S: Final = float("-inf")


class Heights:
    """The counts at which a look is due, by place; the first of anything is worth one."""

    __slots__ = ("choices", "evidence", "load", "new_pairs", "passed", "patience")

    def __init__(self) -> None:
        self.load = self.new_pairs = self.choices = 1.0
        self.evidence = self.passed = self.patience = 1.0

    def at(self, place: int) -> float:
        """Return the height at a place, from `LOAD` on."""
        if place == LOAD:
            return self.load
        if place == NEW_PAIRS:
            return self.new_pairs
        if place == CHOICES:
            return self.choices
        if place == EVIDENCE:
            return self.evidence
        return self.passed if place == PASSED else self.patience

    def put(self, place: int, height: float) -> None:
        """Change the height at a place."""
        if place == LOAD:
            self.load = height
        elif place == NEW_PAIRS:
            self.new_pairs = height
        elif place == CHOICES:
            self.choices = height
        elif place == EVIDENCE:
            self.evidence = height
        elif place == PASSED:
            self.passed = height
        else:
            self.patience = height

    def copy(self) -> Heights:
        """Return the same heights once more."""
        heights = Heights()
        heights.load, heights.new_pairs, heights.choices = self.load, self.new_pairs, self.choices
        heights.evidence, heights.passed = self.evidence, self.passed
        heights.patience = self.patience
        return heights

    def to_wire(self, last: int) -> list[float]:
        """Return those up to the choices by place, and the one at a place behind them."""
        return [self.load, self.new_pairs, self.choices, self.at(last)]

    def restore(self, wire: list[float], last: int) -> None:
        """Take up what `to_wire` returned."""
        at = LOAD
        for height in wire:
            self.put(at if at < EVIDENCE else last, height)
            at += 1


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
        "passed",
        "patience",
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
        #: New pairs since it last opened any.
        self.passed = 0.0
        self.patience = 0.0
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
        if place == CHOICES:
            return float(self.choices)
        if place == EVIDENCE:
            return self.evidence
        return self.passed if place == PASSED else self.patience

    def due(self) -> int:
        """Return which counts have reached their heights, a bit each from `LOAD` on."""
        heights, due = self.heights, 0
        if self.load >= heights.load:
            due |= 1
        if self.new_pairs >= heights.new_pairs:
            due |= 2
        if self.choices >= heights.choices:
            due |= 4
        if self.evidence >= heights.evidence:
            due |= 8
        if self.passed >= heights.passed:
            due |= 16
        if self.patience >= heights.patience:
            due |= 32
        return due

    def count(
        self,
        ts: float,
        requests: int,
        load: float,
        new_pairs: float,
        choices: int,
        evidence: float,
        patience: float = 0.0,
    ) -> None:
        """Count what happened at `ts` (Unix seconds).

        Evidence and patience may be negative; what they add up to is not.
        """
        scale_s = self.scale_s
        if ts >= self.start_s + scale_s:
            self.start_s = ts - ts % scale_s
            self.requests, self.load, self.new_pairs = requests, load, new_pairs
            self.choices, self.evidence = choices, evidence if evidence > 0 else 0.0
            self.passed = 0.0 if choices else new_pairs
            self.patience = patience if patience > 0 else 0.0
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
                self.passed = 0.0
            else:
                self.passed += new_pairs
            if patience:
                weighed = self.patience + patience
                self.patience = weighed if weighed > 0 else 0.0

    def raise_height(self, place: int, height: float) -> None:
        """Look again at this count within the window, and at the usual one in the next."""
        if self.calm is None:
            self.calm = self.heights.copy()
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
        self.load = self.new_pairs = self.evidence = self.passed = self.patience = 0.0
        self.choices = 0

    def to_wire(self, last: int) -> list[int | float]:
        """Return the beginning, the counts up to the choices, and that at one place behind them.

        It begins at a whole second, which takes half the space.
        """
        return [
            int(self.start_s) if self.start_s > 0 else self.start_s,
            self.requests,
            self.load,
            self.new_pairs,
            self.choices,
            self.at(last),
        ]

    def restore(self, wire: list[int | float], last: int) -> None:
        """Take up what `to_wire` returned."""
        self.start_s = float(wire[START])
        self.load, self.new_pairs = float(wire[LOAD]), float(wire[NEW_PAIRS])
        self.requests, self.choices = int(wire[REQUESTS]), int(wire[CHOICES])
        value = float(wire[EVIDENCE])
        if last == EVIDENCE:
            self.evidence = value
        elif last == PASSED:
            self.passed = value
        else:
            self.patience = value
