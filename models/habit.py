"""What is usual for one account, learned online from its own days."""

from __future__ import annotations

import math
from typing import Final

from river import stats

#: A day weighs a tenth of the habit: a lasting change is followed within a few weeks.
_FADING: Final = 0.1


class Habit:
    """The usual size of a daily count, as a fading mean of its logarithm.

    Counts of human activity are spread over decades, so the mean is geometric: one busy day
    doesn't make an account look busy.

    Parameters
    ----------
    days
        Days learned from so far.
    mean_log
        Mean of `log(1 + count)` over them.

    Examples
    --------
    >>> habit = Habit()
    >>> for count in (10, 12, 9, 11, 400):
    ...     habit.learn_one(count)
    >>> round(habit.usual)
    15
    """

    __slots__ = ("_mean_log", "days")

    def __init__(self, days: int = 0, mean_log: float = 0.0) -> None:
        self.days = days
        #: Most accounts come once, and to make one of these takes as long as to judge a request.
        self._mean_log: stats.EWMean | None = None
        if days:
            self._learn(mean_log)  # the first value becomes the mean

    def learn_one(self, count: float) -> None:
        """Learn from one closed day's count."""
        self._learn(math.log1p(max(count, 0.0)))
        self.days += 1

    def _learn(self, log: float) -> None:
        if self._mean_log is None:
            self._mean_log = stats.EWMean(fading_factor=_FADING)
        self._mean_log.update(log)

    @property
    def mean_log(self) -> float:
        """The learned mean; 0 before the first day."""
        return float(self._mean_log.get()) if self._mean_log is not None else 0.0

    @property
    def usual(self) -> float:
        """The usual daily count; 0 before the first day."""
        return math.expm1(self.mean_log)
