"""From counts to tail probabilities, and from the operator's budget to levels."""

from __future__ import annotations

import math
from bisect import bisect_right
from statistics import NormalDist

from models.signals import Signal

#: Four rungs to a doubling: fine enough that a level is off by a tenth at most.
RUNGS_PER_DOUBLING = 4
#: 2**30 of anything in a day is beyond any account; whatever is above shares the last rung.
RUNGS = 30 * RUNGS_PER_DOUBLING + 1
#: How many account days the belief about honest accounts weighs before any were seen. It gives
#: way as they come: at as many account days it weighs half, and little more than nothing later.
BELIEF_ACCOUNT_DAYS = 150.0
#: What is kept of the past when a day ends: yesterday's world weighs 0.9 of today's, so that
#: lasting change is followed within weeks and a weekend is not forgotten by Friday.
DAY_FADING = 0.9

#: The tail is drawn through the heights that these shares of account days reach. Further out, a
#: handful of copiers would bend it; further in, it describes everyday use.
_SHOULDER, _TAIL = 0.1, 0.02
#: The narrowest and the widest spread believed (standard deviations of the logarithm): from a
#: count that hardly varies to one that spans five decades.
_SPREAD_MIN, _SPREAD_MAX = 0.2, 2.5
_NORMAL = NormalDist()
_APART = _NORMAL.inv_cdf(1 - _TAIL) - _NORMAL.inv_cdf(1 - _SHOULDER)


#: The count at which each rung is reached, and one beyond the last.
_HEIGHTS = [math.exp2(rung / RUNGS_PER_DOUBLING) for rung in range(RUNGS + 1)]
#: The same a hair lower: a count that is off by rounding has still reached its rung.
_REACHED = [1.0] + [math.exp2((rung - 1e-9) / RUNGS_PER_DOUBLING) for rung in range(1, RUNGS)]


def rung_of(count: float) -> int:
    """Return the highest rung that a count has reached; -1 below one.

    >>> [rung_of(count) for count in (0, 1, 2, 3, 4)]
    [-1, 0, 4, 6, 8]
    """
    return bisect_right(_REACHED, count) - 1


def height_of(rung: int) -> float:
    """Return the count at which a rung is reached."""
    return _HEIGHTS[rung]


class Tail:
    """How far honest account days reach in one signal: a ladder of exceedance counts.

    On each account day the highest value that a signal took within it is what counts, because
    that is the unit of the operator's budget. A day is counted when it begins and a rung when
    the day first reaches it, so that the ladder is up to date without waiting for midnight, and
    nobody weighs more than one day in a day. A day that turns out suspect is taken back.

    The tail goes on as that of the log-normal distribution which agrees with what one day in
    ten and one in fifty reach: what people do in a day is a product of many things (sessions,
    pages, pairs to a page), and a few attackers in the stream move neither point far. (A Pareto
    tail fitted to the far end, as in Siffer et al., Anomaly Detection in Streams with Extreme
    Value Theory, KDD 2017, follows the attackers instead.)

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
        spread = math.log(signal.excess / signal.usual) / _NORMAL.inv_cdf(1 - 0.001)
        believed = NormalDist(math.log(signal.usual), spread)
        self._believed = [1 - believed.cdf(math.log(height_of(k))) for k in range(RUNGS)]

    def begin_day(self) -> None:
        """Count one more account day."""
        self.days += 1

    def reach(self, below: int, rung: int) -> None:
        """Count that an account day which stood at rung `below` has now reached `rung`."""
        reached = self.reached
        for k in range(below + 1, rung + 1):
            reached[k] += 1

    def take_back(self, rung: int) -> None:
        """Uncount an account day that had reached a rung: it has turned out suspect."""
        self.days = max(self.days - 1, 0.0)
        for k in range(rung + 1):
            self.reached[k] = max(self.reached[k] - 1, 0.0)

    def fade(self) -> None:
        """Let the past weigh less; called when a day ends."""
        self.days *= DAY_FADING
        self.reached = [count * DAY_FADING for count in self.reached]

    def _share(self, rung: int) -> float:
        """Return the share of account days that have reached a rung."""
        weight = BELIEF_ACCOUNT_DAYS / (1 + self.days / BELIEF_ACCOUNT_DAYS)
        return (self.reached[rung] + weight * self._believed[rung]) / (self.days + weight)

    def _height_of_share(self, share: float) -> float:
        """Return the logarithm of the height that this share of account days reaches."""
        low, high = 0, RUNGS - 1
        while low < high:
            middle = (low + high) // 2
            if self._share(middle) <= share:
                high = middle
            else:
                low = middle + 1
        if low == 0:
            return 0.0
        above, below = self._share(low), self._share(low - 1)
        part = (below - share) / (below - above) if below > above else 1.0
        return math.log(2) / RUNGS_PER_DOUBLING * (low - 1 + min(part, 1.0))

    def _fit(self) -> NormalDist:
        """Return the distribution of the logarithm of a day's highest value."""
        shoulder, tail = self._height_of_share(_SHOULDER), self._height_of_share(_TAIL)
        # Chance alone spreads a small count this far (Poisson), whatever few days have shown.
        narrowest = max(_SPREAD_MIN, math.exp(-shoulder / 2))
        spread = min(max((tail - shoulder) / _APART, narrowest), _SPREAD_MAX)
        return NormalDist(shoulder - spread * _NORMAL.inv_cdf(1 - _SHOULDER), spread)

    def probability(self, count: float) -> float:
        """Return the share (0–1) of honest account days expected to reach this count."""
        if count < 1:
            return 1.0
        z = self._fit().zscore(math.log(count))
        return 0.5 * math.erfc(z / math.sqrt(2))

    @property
    def usual(self) -> float:
        """The height that half of honest account days reach."""
        return math.exp(self._height_of_share(0.5))

    def level(self, probability: float) -> float:
        """Return the count that this share (0–1) of honest account days is expected to reach."""
        # The normal distribution is symmetric, and `1 - probability` may not differ from 1.
        fit, z = self._fit(), -_NORMAL.inv_cdf(min(probability, 0.5))
        return math.exp(fit.mean + z * fit.stdev)
