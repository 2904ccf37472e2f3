"""From which evidence on a group is more than the budget's chance of a false review."""

from __future__ import annotations

import math

import msgspec

#: How many group days the belief weighs before any were seen.
_BELIEF_DAYS = 1_000.0
#: Believed of the evidence about honest groups: one day in a hundred has any, and where it has it
#: falls off tenfold in ten decibans, as odds do that are what they say.
_BELIEF_SHARE, _BELIEF_EXCESS = 0.01, 10 / math.log(10)
#: One group's day teaches no more than this (decibans), so that a lone copier among honest
#: colleagues, which is no group and no secret, doesn't raise the level for all.
_LEARNED_MAX = 40.0
#: What is kept of the past when a day ends.
_FADING = 0.98


class Level(msgspec.Struct, array_like=True):
    """How far the evidence about honest groups reaches, learned from theirs.

    Odds of 10,000 to 1 are passed by chance once in 10,000 times, if they are true to their
    word; people have more tastes than any model of them. So the tail of the honest is measured: as
    an exponential one, which is what odds have (and extremes of most other things, too: Pickands
    1975), and the level is where the budget says, but never below the odds themselves.

    Parameters
    ----------
    learned_max
        The most that one group's day teaches, decibans.

    Examples
    --------
    >>> level = Level()
    >>> round(level.at(1e-4))
    40
    >>> for _ in range(2_000):
    ...     level.learn_one(25.0)
    >>> level.at(1e-4) > 100
    True
    """

    days: float = 0.0
    above: float = 0.0
    excess: float = 0.0
    day: int = 0
    learned_max: float = _LEARNED_MAX

    def begin_day(self, day: int) -> None:
        """Let the past weigh less with each day (since 1970, UTC)."""
        if day > self.day:
            if self.day:
                kept = _FADING ** (day - self.day)
                self.days, self.above, self.excess = (
                    self.days * kept,
                    self.above * kept,
                    self.excess * kept,
                )
            self.day = day

    def learn_one(self, evidence: float) -> None:
        """Learn the highest evidence of a group's day on which nothing was found, decibans."""
        self.days += 1
        if evidence > 0:
            self.above += 1
            self.excess += min(evidence, self.learned_max)

    def at(self, probability: float) -> float:
        """Return the evidence that this share (0–1) of honest group days reaches, decibans."""
        above = self.above + _BELIEF_DAYS * _BELIEF_SHARE
        share = above / (self.days + _BELIEF_DAYS)
        mean = (self.excess + _BELIEF_DAYS * _BELIEF_SHARE * _BELIEF_EXCESS) / above
        return max(mean * math.log(share / probability), -10 * math.log10(probability))
