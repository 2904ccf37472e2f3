"""How people go from one pair to the next: programs are faster, keep time, and walk by number."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist
from string import ascii_letters, digits
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
#: A number of its own, perhaps behind a word: the digits that a hash happens to end in are none.
_LAST_NUMBER: Final = re.compile(
    rf"(?:^|[^0-9A-Za-z])[A-Za-z]*(\d{{1,{_DIGITS_MAX}}})(?:[^0-9A-Za-z]\D{{0,7}})?$", re.ASCII
)


def number_of(pair_id: str) -> int | None:
    """Return the number that an id ends in, up to a few letters behind it.

    >>> number_of("/images/0041.png"), number_of("p7"), number_of("welcome"), number_of("3f9a52")
    (41, 7, None, None)
    """
    # Most ids end in a digit, and are told thus in a fifth of the time.
    head = pair_id.rstrip(digits)
    length = len(pair_id) - len(head)
    if length:
        word = head.rstrip(ascii_letters)
        if length > _DIGITS_MAX or (word and word[-1] in digits):
            return None
        return int(pair_id[len(head) :])
    found = _LAST_NUMBER.search(pair_id)
    return int(found[1]) if found else None


_log2: Final = math.log2


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

    __slots__ = ("_counts", "_renew_at", "_said", "_step", "untold")

    def __init__(self) -> None:
        #: Honest choices by class of time, steps, and so on (see `_STEPS`).
        self._counts = [0.0] * _COUNTS
        #: What other partitions have not been told yet.
        self.untold = [0] * _COUNTS
        self._renew_at = 0.0
        self._renew()

    def haste(self, gap_s: float) -> float:
        """Return what a time between choices says for a program, decibans."""
        return 0.0 if gap_s < ACT_S else self._said[class_of(gap_s)]

    def evenness(self, gap_s: float, before_s: float) -> float:
        """Return what it says that a time follows another one, decibans; 0 if either is no time."""
        if gap_s < ACT_S or before_s < ACT_S:
            return 0.0
        return self._said[CLASSES + even_class_of(gap_s, before_s)]

    def step(self, before: int | None, number: int | None) -> float:
        """Return what it says that ids with these numbers follow each other, decibans."""
        return self._step if is_step(before, number) else 0.0

    def learn(
        self, gap_s: float, before: int | None, number: int | None, before_s: float = 0.0
    ) -> None:
        """Learn from an honest choice, made `gap_s` after the last one, that `before_s` after its.

        `number` and `before` are those of its pair and of the last one.
        """
        if gap_s >= ACT_S:
            self._count(class_of(gap_s))
            if before_s >= ACT_S:
                self._count(_EVEN + even_class_of(gap_s, before_s))
        if before is not None and number is not None:
            self._count(_COULD_STEP)
            if is_step(before, number):
                self._count(_STEPS)
        self._renew_at -= 1
        if self._renew_at <= 0:
            self._renew()

    def _count(self, at: int) -> None:
        # Written out: what is added in place is boxed first.
        self._counts[at] = self._counts[at] + 1.0
        self.untold[at] = self.untold[at] + 1

    def tell(self) -> list[int]:
        """Return what was learned since the last time, for others to `merge`."""
        told, self.untold = self.untold, [0] * _COUNTS
        return told

    def merge(self, told: Sequence[int]) -> None:
        """Learn what another partition has told.

        Raises
        ------
        ValueError
            It is of another shape.
        """
        if len(told) not in (_EVEN, _COUNTS) or min(told) < 0:
            raise ValueError("a pace of another shape than ours")
        for at, count in enumerate(told):
            self._counts[at] += count
        self._renew()

    def _renew(self) -> None:
        self._renew_at = float(_RENEW_CHOICES)
        counts = self._counts = [count * _RENEW_FADING for count in self._counts]
        self._said = _bets(counts[:CLASSES], _BELIEVED) + _bets(counts[_EVEN:], _BELIEVED_EVEN)
        steps, choices = counts[_STEPS], counts[_COULD_STEP]
        share = (steps + _BELIEF_STEPS * _BELIEF_CHOICES) / (choices + _BELIEF_CHOICES)
        self._step = min(max(-10 * math.log10(2 * share), 0.0), _EVIDENCE_MAX)

    def to_wire(self) -> PaceWire:
        """Return the state as plain values."""
        return self._counts[:], self._renew_at, self.untold[:], self._said[:], self._step

    def restore(self, wire: PaceWire) -> None:
        """Take up what `to_wire` returned."""
        counts, self._renew_at, untold, said, self._step = wire
        self._counts = counts + [0.0] * (_COUNTS - len(counts))
        self.untold = untold + [0] * (_COUNTS - len(untold))
        self._said = said + self._said[len(said) :]


def is_step(before: int | None, number: int | None) -> bool:
    """Whether ids with these numbers are next to each other."""
    return before is not None and number is not None and 0 < abs(number - before) <= _STEP_MAX


def _bets(counts: list[float], believed: list[float]) -> list[float]:
    """Return for each class what a choice in it says (decibans), the first being the rarest.

    `believed` are the choices believed in up to each class, beside those counted.
    """
    total = sum(counts) + _BELIEF_CHOICES
    return [
        min(-10 * math.log10(2 * math.sqrt((count + more) / total)), _EVIDENCE_MAX)
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
