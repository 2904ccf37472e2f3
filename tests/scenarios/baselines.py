"""What one would do without pairwatch: limits in the gateway, and an anomaly detector alone.

The first two are fixed, the last two score account days and get the threshold that spends the
same false-alarm budget as ours on a tuning world. They are treated kindly: each sees all accounts
in one place, and whoever passes the threshold of the last is shut out for an hour at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from river.anomaly import HalfSpaceTrees

from models.request import Request
from tests.scenarios.enforcement import Ruling
from tests.scenarios.evaluate import DAY_S, foreign_pairs

#: As gateways commonly limit: a burst of forty, two a second in the long run.
BUCKET_CAPACITY, BUCKET_PER_S = 40.0, 2.0
WINDOW_S, WINDOW_REQUESTS = 300, 300
HOUR_S = 3_600
#: Requests of an hour from which it is scored, again and again as they double.
_SCORED_FROM = 8
#: Where a logarithmic feature reaches 1: nobody honest does more of anything in an hour.
_FULL_HOUR = 10_000.0


class LeakyBucket:
    """A rate limit: each request adds one to a bucket that leaks, a full one refuses."""

    def __init__(self, capacity: float = BUCKET_CAPACITY, per_s: float = BUCKET_PER_S) -> None:
        self._capacity, self._per_s = capacity, per_s
        self._buckets: dict[str, tuple[float, float]] = {}

    def __call__(self, requests: list[Request]) -> list[Ruling]:
        """Return one ruling for each request refused."""
        rulings = []
        for at, request in enumerate(requests):
            level, last_s = self._buckets.get(request.account_id, (0.0, request.ts))
            level = max(level - (request.ts - last_s) * self._per_s, 0.0)
            if level + 1 > self._capacity:
                rulings.append(_refuse(at, request, request.ts))
            else:
                level += 1
            self._buckets[request.account_id] = (level, request.ts)
        return rulings


class FixedWindow:
    """So many requests in each five minutes of the clock, the rest are refused."""

    def __init__(self, requests: int = WINDOW_REQUESTS, window_s: int = WINDOW_S) -> None:
        self._requests, self._window_s = requests, window_s
        self._counts: dict[str, tuple[int, int]] = {}

    def __call__(self, requests: list[Request]) -> list[Ruling]:
        """Return one ruling for each window that was used up."""
        rulings = []
        for at, request in enumerate(requests):
            number = int(request.ts // self._window_s)
            window, count = self._counts.get(request.account_id, (number, 0))
            count = count + 1 if window == number else 1
            self._counts[request.account_id] = (number, count)
            if count == self._requests + 1:
                rulings.append(_refuse(at, request, (number + 1.0) * self._window_s))
        return rulings


class PairsADay:
    """A limit on the distinct pairs of others that an account is given in a day (UTC).

    Parameters
    ----------
    threshold
        Pairs; above, everything is refused until midnight.
    """

    def __init__(self, threshold: float = math.inf) -> None:
        self._threshold = threshold
        self._days: dict[str, tuple[int, set[str]]] = {}
        #: The score of each account day.
        self.peaks: dict[tuple[str, int], float] = {}

    def __call__(self, requests: list[Request]) -> list[Ruling]:
        """Return one ruling for each account day above the limit."""
        rulings = []
        for at, request in enumerate(requests):
            name, day = request.account_id, int(request.ts // DAY_S)
            known, pairs = self._days.get(name, (day, set()))
            if known != day:
                pairs = set()
            before = len(pairs)
            pairs.update(foreign_pairs(request))
            self._days[name] = (day, pairs)
            self.peaks[name, day] = len(pairs)
            if before <= self._threshold < len(pairs):
                rulings.append(_refuse(at, request, (day + 1.0) * DAY_S))
        return rulings


@dataclass
class _Hour:
    """What an account has done in an hour."""

    number: int = -1
    requests: int = 0
    pairs: set[str] = field(default_factory=set)
    shut_until_s: float = 0.0

    def features(self) -> dict[str, float]:
        """Return the hour so far, each feature within 0 and 1."""
        return {"requests": _log_share(self.requests), "pairs": _log_share(len(self.pairs))}


class Trees:
    """River's half-space trees over account hours, learning online from everything.

    An hour is scored each time its requests have doubled, so that nobody has to wait for its
    end, and learned when the account's next one begins. The two features are those with which
    it does best: with novelty, pairs per request and the hours of the day beside them, it takes
    rare honest days for the strangest and finds 2 of the 12 lone attacks instead of 8.

    Parameters
    ----------
    threshold
        Score; above, the account is shut out for an hour.
    """

    def __init__(self, threshold: float = math.inf) -> None:
        self._threshold = threshold
        self._trees = HalfSpaceTrees(seed=1)
        self._hours: dict[str, _Hour] = defaultdict(_Hour)
        #: The highest score of each account day.
        self.peaks: dict[tuple[str, int], float] = {}

    def __call__(self, requests: list[Request]) -> list[Ruling]:
        """Return one ruling for each time that an account is shut out."""
        rulings = []
        for at, request in enumerate(requests):
            hour, number = self._hours[request.account_id], int(request.ts // HOUR_S)
            if hour.number != number:
                if hour.requests:
                    self._trees.learn_one(hour.features())
                hour.number, hour.requests = number, 0
                hour.pairs.clear()
            hour.requests += 1
            hour.pairs.update(foreign_pairs(request))
            day = (request.account_id, number // 24)
            score = self.peaks.get(day, 0.0)
            if hour.requests >= _SCORED_FROM and hour.requests.bit_count() == 1:
                now = self._trees.score_one(hour.features())
                score = max(score, now)
                if now > self._threshold and request.ts >= hour.shut_until_s:
                    hour.shut_until_s = request.ts + HOUR_S
                    rulings.append(_refuse(at, request, hour.shut_until_s))
            self.peaks[day] = score
        return rulings


def threshold_for(peaks: list[float], per_1000: float) -> float:
    """Return the score above which so many of a thousand account days lie, or just fewer.

    Parameters
    ----------
    peaks
        The highest score of each account day of honest accounts, at least one.
    per_1000
        The false-alarm budget, below 1,000.
    """
    return sorted(peaks, reverse=True)[int(len(peaks) * per_1000 / 1_000)]


def _refuse(at: int, request: Request, until_s: float) -> Ruling:
    return Ruling(at, request.account_id, "throttle", request.ts, until_s, refuses=True)


def _log_share(count: float) -> float:
    return min(math.log1p(count) / math.log1p(_FULL_HOUR), 1.0)
