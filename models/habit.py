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

    Examples
    --------
    >>> habit = Habit()
    >>> for count in (10, 12, 9, 11, 400):
    ...     habit.learn_one(count)
    >>> round(habit.usual)
    15
    """

    __slots__ = ("days", "mean_log")

    def __init__(self) -> None:
        #: Days learned from so far, and the mean of `log(1 + count)` over them.
        self.days = 0
        self.mean_log = 0.0

    def learn_one(self, count: float) -> None:
        """Learn from one closed day's count."""
        # Made when a day is learned, which most live accounts don't come to.
        mean = stats.EWMean(fading_factor=_FADING)
        if self.days:
            mean.update(self.mean_log)  # the first value becomes the mean
        mean.update(math.log1p(max(count, 0.0)))
        self.days, self.mean_log = self.days + 1, float(mean.get())

    def restore(self, days: int, mean_log: float) -> None:
        """Take up what `days` and `mean_log` were."""
        self.days, self.mean_log = days, mean_log

    @property
    def usual(self) -> float:
        """The usual daily count; 0 before the first day."""
        return math.expm1(self.mean_log)
