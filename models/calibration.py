"""From counts to tail probabilities, and from the operator's budget to levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final, NamedTuple

from models.population_state import Growth
from models.signals import Signal

#: Four rungs to a doubling: fine enough that a level is off by a tenth at most.
RUNGS_PER_DOUBLING: Final = 4
#: 2**30 of anything in a day is beyond any account; whatever is above shares the last rung.
RUNGS: Final = 30 * RUNGS_PER_DOUBLING + 1
#: How many account days the belief about honest accounts weighs before any were seen. It gives
#: way as they come: at as many account days it weighs half, and little more than nothing later.
BELIEF_ACCOUNT_DAYS: Final = 150.0
#: What is kept of the past when a day ends: yesterday's world weighs 0.9 of today's, so that
#: lasting change is followed within weeks and a weekend is not forgotten by Friday.
DAY_FADING: Final = 0.9

#: The tail is drawn through the heights that these shares of account days reach. Further out, a
#: handful of copiers would bend it; further in, it describes everyday use.
_SHOULDER: Final = 0.1
_TAIL: Final = 0.02
#: The steepest and the flattest tail believed: heights grow with this power of the logarithm of
#: rarity. From a count that hardly varies to one that spans five decades.
_POWER_MIN: Final = 0.3
_POWER_MAX: Final = 4.0
#: How much power the tail of a small count has by chance alone, times the count's root: what is
#: left of bursts when they are counted by the minute.
_CHANCE: Final = 2.3
#: Rarer than e to the -e to the this is nothing: it is zero in floating point.
_LOG_RARITY_MAX: Final = 6.6


class _Shape(NamedTuple):
    """How the logarithm of height goes with rarity along a tail: in a straight line.

    `rarity` says how far out a share of days (0–1) lies, `share` the reverse.
    """

    rarity: Callable[[float], float]
    share: Callable[[float], float]


_NORMAL: Final = NormalDist()
#: What a day leaves only so much time for.
_weibull: Final = _Shape(
    lambda share: math.log(-math.log(share)),
    lambda rarity: math.exp(-math.exp(min(rarity, _LOG_RARITY_MAX))),
)
#: What has no such bound, a product of many things.
_log_normal: Final = _Shape(
    lambda share: -_NORMAL.inv_cdf(share),
    lambda rarity: 0.5 * math.erfc(rarity / math.sqrt(2)),
)


#: The count at which each rung is reached, and one beyond the last.
HEIGHTS: Final = [math.exp2(rung / RUNGS_PER_DOUBLING) for rung in range(RUNGS + 1)]
#: The same a hair lower: a count that is off by rounding has still reached its rung.
_REACHED: Final = [1.0] + [
    math.exp2((rung - 1e-9) / RUNGS_PER_DOUBLING) for rung in range(1, RUNGS)
]

_RUNGS_PER_E: Final = RUNGS_PER_DOUBLING / math.log(2)
#: The rungs of whole numbers below this.
_SMALLER: Final = 64
_SMALL: Final = [0] + [
    max(rung for rung in range(RUNGS) if _REACHED[rung] <= n) for n in range(1, _SMALLER)
]


def rung_of(count: float) -> int:
    """Return the highest rung that a count has reached; -1 below one.

    >>> [rung_of(count) for count in (0, 1, 2, 3, 4)]
    [-1, 0, 4, 6, 8]
    """
    if count < 1:
        return -1
    if not count < _REACHED[RUNGS - 1]:
        return RUNGS - 1
    # Most counts are small. Of the others it lies where their logarithm has it, but for rounding.
    rung = _SMALL[int(count)] if count < _SMALLER else int(math.log(count) * _RUNGS_PER_E)
    while rung + 1 < RUNGS and count >= _REACHED[rung + 1]:
        rung += 1
    while count < _REACHED[rung]:
        rung -= 1
    return rung


class _Rung:
    """What a tail knows of a rung.

    Entries of lists are objects, and a day that climbs changes four of them.
    """

    __slots__ = ("believed", "days", "reached", "untold")

    def __init__(self, believed: float) -> None:
        #: The share (0–1) of account days that are believed to reach it.
        self.believed = believed
        #: Days of which it is the highest, and how many of them are untold.
        self.days = 0.0
        self.untold = 0
        #: Days that have got as far, as last summed up.
        self.reached = 0.0


class Tail:
    """How far honest account days reach in one signal: a ladder of exceedance counts.

    On each account day the highest value that a signal took within it is what counts, because
    that is the unit of the operator's budget. A day is counted when it begins and a rung when
    the day first reaches it, so that the ladder is up to date without waiting for midnight, and
    nobody weighs more than one day in a day. A day that turns out suspect is taken back.

    The tail goes on as that of the Weibull distribution which agrees with what one day in ten
    and one in fifty reach. A few attackers in the stream move neither point far, where a tail
    fitted to the far end (Siffer et al., Anomaly Detection in Streams with Extreme Value Theory,
    KDD 2017) follows them. A log-normal tail through the same points is too heavy, as a day has
    only so much time; it is what fits where time is no bound (`Signal.unbounded`).

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

    __slots__ = (
        "_is_summed",
        "_power",
        "_rungs",
        "_shape",
        "_shoulder",
        "_tail",
        "_untold_days",
        "days",
        "signal",
    )

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.days = 0.0
        self._untold_days = 0
        self._shape: _Shape = _log_normal if signal.unbounded else _weibull
        self._shoulder, self._tail = self._shape.rarity(_SHOULDER), self._shape.rarity(_TAIL)
        apart = self._shape.rarity(0.001) - self._shape.rarity(0.5)
        self._power = math.log(signal.excess / signal.usual) / apart
        middle = math.log(signal.usual) - self._power * self._shape.rarity(0.5)
        self._rungs = [
            _Rung(self._shape.share((math.log(height) - middle) / self._power))
            for height in HEIGHTS[:RUNGS]
        ]
        self._is_summed = True

    def begin_day(self) -> None:
        """Count one more account day."""
        self.days += 1
        self._untold_days += 1

    def reach(self, below: int, rung: int) -> None:
        """Count that an account day which stood at rung `below` has now reached `rung`."""
        if below >= 0:
            left = self._rungs[below]
            left.days -= 1.0
            left.untold -= 1
        now = self._rungs[rung]
        now.days += 1.0
        now.untold += 1
        self._is_summed = False

    def take_back(self, rung: int) -> None:
        """Uncount an account day that had reached a rung: it has turned out suspect."""
        self.days = max(self.days - 1, 0.0)
        self._untold_days -= 1
        if rung >= 0:
            left = self._rungs[rung]
            left.days -= 1.0
            left.untold -= 1
            self._is_summed = False

    @property
    def tops(self) -> dict[int, float]:
        """Days by the highest rung that they have reached, where there are any."""
        return {n: rung.days for n, rung in enumerate(self._rungs) if rung.days}

    @property
    def untold(self) -> Growth:
        """What other partitions have not been told yet."""
        tops = {n: rung.untold for n, rung in enumerate(self._rungs) if rung.untold}
        return Growth(self._untold_days, tops)

    def tell(self) -> Growth:
        """Return what was counted since the last time, for others to `merge`."""
        told, self._untold_days = self.untold, 0
        for rung in self._rungs:
            rung.untold = 0
        return told

    def merge(self, growth: Growth) -> None:
        """Count what the tail of another partition has counted; rungs are below `RUNGS`."""
        self.days = max(self.days + growth.days, 0.0)
        for rung, change in growth.tops.items():
            self._rungs[rung].days += change
        self._is_summed = False

    def fade(self) -> None:
        """Let the past weigh less; called when a day ends."""
        self.days *= DAY_FADING
        for rung in self._rungs:
            rung.days *= DAY_FADING
        self._is_summed = False

    def restore(self, days: float, tops: dict[int, float], untold: Growth) -> None:
        """Take up what `days`, `tops` and `untold` were."""
        self.days, self._untold_days = days, untold.days
        for n, rung in enumerate(self._rungs):
            rung.days, rung.untold = tops.get(n, 0.0), untold.tops.get(n, 0)
        self._is_summed = False

    @property
    def reached(self) -> list[float]:
        """How many days have reached each rung."""
        self._sum_up()
        return [rung.reached for rung in self._rungs]

    def _sum_up(self) -> None:
        if self._is_summed:
            return
        total = 0.0
        for rung in reversed(self._rungs):
            total += rung.days
            # What has faded and is taken back in full would leave less than none.
            rung.reached = total if total > 0 else 0.0
        self._is_summed = True

    @property
    def _weight(self) -> float:
        """How many account days the belief weighs now."""
        return BELIEF_ACCOUNT_DAYS / (1 + self.days / BELIEF_ACCOUNT_DAYS)

    def _height_of_share(self, share: float, belief: float) -> float:
        """Return the logarithm of the height that this share of account days reaches.

        Parameters
        ----------
        share
            Above 0, below 1.
        belief
            Account days that the belief weighs.
        """
        self._sum_up()
        # The lowest rung that no more than this share reaches.
        rung, end = 0, RUNGS - 1
        while rung < end:
            middle = (rung + end) // 2
            if self._share_of(middle, belief) > share:
                rung = middle + 1
            else:
                end = middle
        if rung == 0:
            return 0.0
        above, below = self._share_of(rung, belief), self._share_of(rung - 1, belief)
        part = (below - share) / (below - above) if below > above else 1.0
        return math.log(2) / RUNGS_PER_DOUBLING * (rung - 1 + min(part, 1.0))

    def _share_of(self, rung: int, belief: float) -> float:
        """Return the share (0–1) of account days that reach a rung, as seen and as believed."""
        days, one = self.days + belief, self._rungs[rung]
        return (one.reached + belief * one.believed) / days if days else 0.0

    def _fit(self) -> tuple[float, float]:
        """Return the logarithm of the height that one day in e reaches, and the tail's power."""
        shoulder, tail = (self._height_of_share(p, self._weight) for p in (_SHOULDER, _TAIL))
        seen = self._height_of_share(_TAIL, 0) - self._height_of_share(_SHOULDER, 0)
        # Where few days are seen, the belief alone makes up the end: that would stretch the tail
        # from their everyday to an end of another world.
        apart = self._tail - self._shoulder
        flattest = min(max(seen / apart, self._power), _POWER_MAX)
        # Chance alone spreads a small count this far (Poisson), whatever few days have shown.
        chance = 0.0 if self.signal.is_evidence else _CHANCE * math.exp(-shoulder / 2)
        power = max(min((tail - shoulder) / apart, flattest), chance, _POWER_MIN)
        return shoulder - power * self._shoulder, power

    def probability(self, count: float) -> float:
        """Return the share (0–1) of honest account days expected to reach this count."""
        if count < 1:
            return 1.0
        middle, power = self._fit()
        return self._shape.share((math.log(count) - middle) / power)

    @property
    def usual(self) -> float:
        """The height that half of honest account days reach."""
        return math.exp(self._height_of_share(0.5, self._weight))

    def level(self, probability: float) -> float:
        """Return the count that this share (0–1) of honest account days is expected to reach."""
        return self.levels(probability, probability)[0]

    def levels(self, commoner: float, rarer: float) -> tuple[float, float]:
        """Return the counts that two shares (0–1) are expected to reach: fitting costs the most.

        They are no lower than the least that a level may be, the rarer one than twice that.
        """
        middle, power = self._fit()
        rarity, least = self._shape.rarity, self.signal.least
        return (
            max(math.exp(middle + power * rarity(min(commoner, 0.5))), least),
            max(math.exp(middle + power * rarity(min(rarer, 0.5))), 2 * least),
        )
