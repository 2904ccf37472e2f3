"""From counts to tail probabilities, and from the operator's budget to levels."""

from __future__ import annotations

import math

from models.signals import Signal

#: Four rungs to a doubling: fine enough that a level is off by a tenth at most.
RUNGS_PER_DOUBLING = 4
#: 2**30 of anything in a day is beyond any account; whatever is above shares the last rung.
RUNGS = 30 * RUNGS_PER_DOUBLING + 1
#: How many account days the belief about honest accounts weighs against those seen.
BELIEF_ACCOUNT_DAYS = 200.0
#: What is kept of the past when a day ends: yesterday's world weighs 0.9 of today's, so that
#: lasting change is followed within weeks and a weekend is not forgotten by Friday.
DAY_FADING = 0.9

#: The slope of the tail is read between these two shares of account days. Further out, a handful
#: of copiers would bend it; further in, it describes everyday use.
_TAIL_FROM = 0.05
_TAIL_TO = 0.005
#: Fewer account days than this above a rung say nothing about its share.
_ACCOUNT_DAYS_MIN = 8.0
#: The heaviest and the lightest tail believed (Pareto exponents); file sizes, visits and other
#: human activity lie between 1 and 3.
_SLOPE_MIN, _SLOPE_MAX = 0.9, 8.0


def rung_of(count: float) -> int:
    """Return the highest rung that a count has reached; -1 below one.

    >>> [rung_of(count) for count in (0, 1, 2, 3, 4)]
    [-1, 0, 4, 6, 8]
    """
    if count < 1:
        return -1
    return min(int(math.log2(count) * RUNGS_PER_DOUBLING + 1e-9), RUNGS - 1)


def height_of(rung: int) -> float:
    """Return the count at which a rung is reached."""
    return math.exp2(rung / RUNGS_PER_DOUBLING)


class Tail:
    """How far honest account days reach in one signal: a ladder of exceedance counts.

    On each account day the highest value that a signal took within it is what counts, because
    that is the unit of the operator's budget. A day is counted when it begins and a rung when
    the day first reaches it, so that the ladder is up to date without waiting for midnight, and
    nobody weighs more than one day in a day. Beyond what has been seen often the tail goes on
    as a Pareto tail with the slope of its last decade (peaks over threshold; Siffer et al.,
    Anomaly Detection in Streams with Extreme Value Theory, KDD 2017, fit the same tail by
    maximum likelihood).

    Parameters
    ----------
    signal
        What is counted; it carries the belief that holds until traffic outweighs it.

    Examples
    --------
    >>> from models.signals import DAY_S
    >>> tail = Tail(Signal("requests", DAY_S, usual=40, excess=4_000))
    >>> round(tail.probability(4_000), 4)
    0.001
    >>> for _ in range(10_000):
    ...     tail.begin_day()
    ...     tail.reach(-1, rung_of(10))
    >>> tail.probability(4_000) < 0.0001
    True
    """

    __slots__ = ("_believed", "days", "reached", "signal")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.days = 0.0
        self.reached = [0.0] * RUNGS
        slope = math.log(0.5 / 0.001) / math.log(signal.excess / signal.usual)
        self._believed: list[float] = [
            BELIEF_ACCOUNT_DAYS * min(1.0, 0.5 * (height_of(k) / signal.usual) ** -slope)
            for k in range(RUNGS)
        ]

    def begin_day(self) -> None:
        """Count one more account day."""
        self.days += 1

    def reach(self, below: int, rung: int) -> None:
        """Count that an account day which stood at rung `below` has now reached `rung`."""
        for k in range(below + 1, rung + 1):
            self.reached[k] += 1

    def fade(self) -> None:
        """Let the past weigh less; called when a day ends."""
        self.days *= DAY_FADING
        self.reached = [count * DAY_FADING for count in self.reached]

    def _share(self, rung: int) -> float:
        """Return the share of account days that have reached a rung."""
        return (self.reached[rung] + self._believed[rung]) / (self.days + BELIEF_ACCOUNT_DAYS)

    def _last_reached_by(self, share: float) -> int:
        """Return the highest rung that at least this share of account days has reached."""
        low, high = 0, RUNGS - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._share(middle) >= share:
                low = middle
            else:
                high = middle - 1
        return low

    def _fit(self) -> tuple[float, float, float]:
        """Return the anchor's height and share, and the Pareto slope beyond it."""
        known = _ACCOUNT_DAYS_MIN / (self.days + BELIEF_ACCOUNT_DAYS)
        start = self._last_reached_by(_TAIL_FROM)
        anchor = max(self._last_reached_by(max(_TAIL_TO, known)), start + RUNGS_PER_DOUBLING)
        anchor = min(anchor, RUNGS - 1)
        start = min(start, anchor - RUNGS_PER_DOUBLING)
        share = max(self._share(anchor), 1e-12)
        fall = math.log(self._share(start) / share)
        slope = fall / math.log(height_of(anchor) / height_of(start))
        return height_of(anchor), share, min(max(slope, _SLOPE_MIN), _SLOPE_MAX)

    def probability(self, count: float) -> float:
        """Return the share (0–1) of honest account days expected to reach this count."""
        anchor, share, slope = self._fit()
        if count <= anchor:
            return min(1.0, self._share(max(rung_of(count), 0)))
        return float(share * (count / anchor) ** -slope)

    def level(self, probability: float) -> float:
        """Return the count that this share (0–1) of honest account days is expected to reach."""
        anchor, share, slope = self._fit()
        if probability >= share:
            return height_of(self._last_reached_by(probability) + 1)
        return float(anchor * (share / probability) ** (1 / slope))
