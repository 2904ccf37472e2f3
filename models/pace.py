"""How people go from one pair to the next: programs are faster, keep time, and walk by number."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist
from string import ascii_letters
from typing import Final

from models.population_state import PaceWire

#: Choices within this time are one act: pages that fetch what they show do so.
ACT_S: Final = 0.5
#: Classes of the time from one act to the next, two to a doubling.
CLASSES: Final = 24
#: What is believed before any were seen: people take so long (median, sigma of the logarithm), and
#: so rarely open what is next by number. It weighs as much as so many choices.
_BELIEF_S: Final = 12.0
_BELIEF_SIGMA: Final = 1.2
_BELIEF_STEPS: Final = 0.05
_BELIEF_CHOICES: Final = 150.0
#: Classes of how far a time is from the one before it, as the logarithm of their ratio, this wide;
#: the last holds all beyond. And what is believed of people: that it spreads so far (sigma).
EVEN_CLASSES: Final = 16
_EVEN_WIDTH: Final = 0.15
_BELIEF_EVEN_SIGMA: Final = 1.6
#: What is learned is followed at this pace, and the last few hundred paces weigh most.
_RENEW_CHOICES: Final = 64
_RENEW_FADING: Final = 0.998
#: Ids at most so far apart are next to each other: a walker steps over what it has.
_STEP_MAX: Final = 4
#: The most that one choice says for either (decibans): one click must not decide.
_EVIDENCE_MAX: Final = 12.0
#: Longer numbers are hashes.
_DIGITS_MAX: Final = 15
_UNIT_MAX: Final = 10**15
_ZERO: Final = 48
_NINE: Final = 57
#: A number of its own, perhaps behind a word: the digits that a hash happens to end in are none.
_LAST_NUMBER: Final = re.compile(
    rf"(?:^|[^0-9A-Za-z])[A-Za-z]*(\d{{1,{_DIGITS_MAX}}})(?:[^0-9A-Za-z]\D{{0,7}})?$", re.ASCII
)


def number_of(pair_id: str) -> int | None:
    """Return the number that an id ends in, up to a few letters behind it.

    >>> number_of("/images/0041.png"), number_of("p7"), number_of("welcome"), number_of("3f9a52")
    (41, 7, None, None)
    """
    # Most ids end in a digit, and are told thus in a tenth of the time.
    number, unit, at = 0, 1, len(pair_id) - 1
    while at >= 0 and _ZERO <= (char := ord(pair_id[at])) <= _NINE:
        if unit == _UNIT_MAX:
            return None
        number, unit, at = number + unit * (char - _ZERO), 10 * unit, at - 1
    if unit == 1:
        found = _LAST_NUMBER.search(pair_id)
        return int(found[1]) if found else None
    while at >= 0 and pair_id[at] in ascii_letters:
        at -= 1
    return None if at >= 0 and _ZERO <= ord(pair_id[at]) <= _NINE else number


#: Constants, which need not be looked up.
_log2: Final = math.log2
_log10: Final = math.log10


def class_of(gap_s: float) -> int:
    """Return the class of a time between choices, `ACT_S` or more."""
    of = int(2 * _log2(gap_s / ACT_S))
    return of if of < CLASSES else CLASSES - 1


def even_class_of(gap_s: float, before_s: float) -> int:
    """Return the class of how far two times between choices are from each other.

    >>> even_class_of(20.0, 20.0), even_class_of(20.0, 22.0), even_class_of(2.0, 3_600.0)
    (0, 0, 15)
    """
    return min(int(abs(math.log(gap_s / before_s)) / _EVEN_WIDTH), EVEN_CLASSES - 1)


#: Where in the counts steps stand, choices that could have been one, and evenness by class.
_STEPS: Final = CLASSES
_COULD_STEP: Final = CLASSES + 1
_EVEN: Final = CLASSES + 2
_COUNTS: Final = _EVEN + EVEN_CLASSES


_NONE: Final = -1


def _haste_at(gap_s: float) -> int:
    """Return which count a time between choices belongs to, `_NONE` within one act."""
    return class_of(gap_s) if gap_s >= ACT_S else _NONE


def _evenness_at(gap_s: float, before_s: float) -> int:
    if gap_s < ACT_S or before_s < ACT_S:
        return _NONE
    return _EVEN + even_class_of(gap_s, before_s)


class _Class:
    """What is known of a class of choices; fields, as entries of lists would be boxed."""

    __slots__ = ("count", "said", "untold")

    def __init__(self) -> None:
        #: Honest ones so far, fading, and those that other partitions have not been told yet.
        self.count = 0.0
        self.untold = 0
        #: What one of them says, decibans.
        self.said = 0.0


class Pace:
    """Weighs how soon and how evenly choices follow each other, and whether by number.

    A choice that only a share *p* of honest ones follow as soon is believed 1 / 2√*p* times as
    much of a program. Over honest choices that is 1 on average, whatever their pace: it is a bet
    against the account at fair odds (Shafer et al., Test Martingales, Bayes Factors and p-Values,
    2011). A time that is as near the one before it as only a share *p* are is weighed alike. What
    is next by number is believed as much more as it is rare among the honest.

    Choices within half a second are one act: pages that fetch what they show do so.

    Examples
    --------
    >>> pace = Pace()
    >>> round(pace.haste(1.0)), round(pace.haste(30.0))
    (4, -3)
    >>> round(pace.evenness(20.0, 21.0)), round(pace.evenness(20.0, 200.0))
    (3, -3)
    """

    __slots__ = ("_classes", "_renew_at", "_step")

    def __init__(self) -> None:
        #: By class of time, of evenness, and for steps: see `_STEPS`.
        self._classes = [_Class() for _ in range(_COUNTS)]
        self._renew_at = 0.0
        self._renew()

    def weigh(
        self, gap_s: float, before: int | None, number: int | None, before_s: float, *, learns: bool
    ) -> tuple[float, float]:
        """Return what a choice says by haste and step, and by evenness; learn it if it `learns`.

        It was made `gap_s` after the last one, that one `before_s` after its; `number` and
        `before` are those of its pair and of the last one.
        """
        fast, even = _haste_at(gap_s), _evenness_at(gap_s, before_s)
        said = self._said(fast) + self.step(before, number), self._said(even)
        if learns:
            self._learn(fast, even, before, number)
        return said

    def haste(self, gap_s: float) -> float:
        """Return what a time between choices says for a program, decibans."""
        return self._said(_haste_at(gap_s))

    def evenness(self, gap_s: float, before_s: float) -> float:
        """Return what it says that a time follows another one, decibans; 0 if either is no time."""
        return self._said(_evenness_at(gap_s, before_s))

    def step(self, before: int | None, number: int | None) -> float:
        """Return what it says that ids with these numbers follow each other, decibans."""
        return self._step if is_step(before, number) else 0.0

    def _said(self, at: int) -> float:
        return self._classes[at].said if at >= 0 else 0.0

    def learn(
        self, gap_s: float, before: int | None, number: int | None, before_s: float = 0.0
    ) -> None:
        """Learn from an honest choice; the parameters are those of `weigh`."""
        self._learn(_haste_at(gap_s), _evenness_at(gap_s, before_s), before, number)

    def _learn(self, fast: int, even: int, before: int | None, number: int | None) -> None:
        if fast >= 0:
            self._count(fast)
        if even >= 0:
            self._count(even)
        if before is not None and number is not None:
            self._count(_COULD_STEP)
            if is_step(before, number):
                self._count(_STEPS)
        self._renew_at -= 1
        if self._renew_at <= 0:
            self._renew()

    def _count(self, at: int) -> None:
        one = self._classes[at]
        one.count += 1.0
        one.untold += 1

    def tell(self) -> list[int]:
        """Return what was learned since the last time, for others to `merge`."""
        told = [one.untold for one in self._classes]
        for one in self._classes:
            one.untold = 0
        return told

    def check(self, told: Sequence[int]) -> None:
        """Raise `ValueError` if this is nothing that a pace can have told."""
        if len(told) != _COUNTS or min(told) < 0:
            raise ValueError("a pace of another shape than ours")

    def merge(self, told: Sequence[int]) -> None:
        """Learn what another partition has told.

        Raises
        ------
        ValueError
            It is of another shape.
        """
        self.check(told)
        for at, count in enumerate(told):
            self._classes[at].count += count
        self._renew()

    def _renew(self) -> None:
        self._renew_at = float(_RENEW_CHOICES)
        for one in self._classes:
            one.count *= _RENEW_FADING
        counts = [one.count for one in self._classes]
        self._say(_bets(counts[:CLASSES], _BELIEVED) + _bets(counts[_EVEN:], _BELIEVED_EVEN))
        steps, choices = counts[_STEPS], counts[_COULD_STEP]
        share = (steps + _BELIEF_STEPS * _BELIEF_CHOICES) / (choices + _BELIEF_CHOICES)
        self._step = min(max(-10 * math.log10(2 * share), 0.0), _EVIDENCE_MAX)

    @property
    def _bearing(self) -> list[_Class]:
        """Those that say something by themselves."""
        return self._classes[:CLASSES] + self._classes[_EVEN:]

    def _say(self, said: Sequence[float]) -> None:
        for one, says in zip(self._bearing, said, strict=False):
            one.said = says

    def to_wire(self) -> PaceWire:
        """Return the state as plain values."""
        counts = [one.count for one in self._classes]
        untold = [one.untold for one in self._classes]
        return counts, self._renew_at, untold, [one.said for one in self._bearing], self._step

    def restore(self, wire: PaceWire) -> None:
        """Take up what `to_wire` returned."""
        counts, self._renew_at, untold, said, self._step = wire
        for one, count, more in zip(self._classes, counts, untold, strict=True):
            one.count, one.untold = count, more
        self._say(said)


def is_step(before: int | None, number: int | None) -> bool:
    """Whether ids with these numbers are next to each other."""
    return before is not None and number is not None and 0 < abs(number - before) <= _STEP_MAX


def _bets(counts: list[float], believed: list[float]) -> list[float]:
    """Return for each class what a choice in it says (decibans), the first being the rarest.

    `believed` are the choices believed in up to each class, beside those counted.
    """
    total = sum(counts) + _BELIEF_CHOICES
    return [
        min(-10 * _log10(2 * math.sqrt((count + more) / total)), _EVIDENCE_MAX)
        for count, more in zip(accumulate(counts), believed, strict=True)
    ]


_NORMAL: Final = NormalDist(math.log(_BELIEF_S), _BELIEF_SIGMA)
#: Of the choices that are believed in, those up to each class.
_BELIEVED: Final = [
    _BELIEF_CHOICES * _NORMAL.cdf(math.log(ACT_S) + (n + 1) / 2 * math.log(2))
    for n in range(CLASSES - 1)
] + [_BELIEF_CHOICES]
_EVEN_NORMAL: Final = NormalDist(0.0, _BELIEF_EVEN_SIGMA)
_BELIEVED_EVEN: Final = [
    _BELIEF_CHOICES * (2 * _EVEN_NORMAL.cdf((n + 1) * _EVEN_WIDTH) - 1)
    for n in range(EVEN_CLASSES - 1)
] + [_BELIEF_CHOICES]
