"""What one subject did over time, from a log, in bounded space."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from models.decision import Scope
from models.recent import RecentRequests
from models.request import Request
from streams.gateway.read import BadLine, LoggedRequest
from streams.pairs import DistinctPairs

#: A bar for every pixel or two of the plot; more can't be seen.
BUCKETS_MAX = 480
#: The finest bar. A throttle counts in minutes, too.
_WIDTH_S = 60


class Traffic:
    """Requests, and pairs of other people never given before, in buckets of equal length.

    The buckets begin with a minute each and double their length whenever more than
    `BUCKETS_MAX` would be needed, so any log fits. A repeated request counts once.

    Attributes
    ----------
    width_s
        The length of a bucket.
    requests, new_pairs
        By the number of the bucket (event time divided by its length): what was counted in it.
        New pairs come from a sketch (±3 %) and need not be whole.
    """

    def __init__(self) -> None:
        self.width_s = _WIDTH_S
        self.requests: dict[int, float] = {}
        self.new_pairs: dict[int, float] = {}
        self._pairs = DistinctPairs()
        self._recent = RecentRequests()

    def add(self, request: Request) -> None:
        """Count a request."""
        if self._recent.admit(request.request_id, request.ts) == "duplicate":
            return
        before = self._pairs.estimate
        self._pairs.see(request)
        at = int(request.ts // self.width_s)
        if at not in self.requests:
            self.requests[at], self.new_pairs[at] = 0, 0.0
            self._fit()
            at = int(request.ts // self.width_s)
        self.requests[at] += 1
        self.new_pairs[at] += self._pairs.estimate - before

    def _fit(self) -> None:
        while max(self.requests) - min(self.requests) >= BUCKETS_MAX:
            self.width_s *= 2
            self.requests = _halved(self.requests)
            self.new_pairs = _halved(self.new_pairs)

    @property
    def start_s(self) -> int:
        """Where the first bucket begins, Unix seconds."""
        return min(self.requests) * self.width_s

    @property
    def end_s(self) -> int:
        """Where the last bucket ends."""
        return (max(self.requests) + 1) * self.width_s


def _halved(counts: dict[int, float]) -> dict[int, float]:
    merged: dict[int, float] = {}
    for at, number in counts.items():
        merged[at // 2] = merged.get(at // 2, 0) + number
    return merged


def traffic_of(
    scope: Scope,
    value: str,
    log: Iterable[LoggedRequest | BadLine],
    after_lines: Callable[[], None],
) -> Traffic | None:
    """Return what an account, or everybody who carries a link, did in a log.

    Parameters
    ----------
    scope, value
        As in a decision.
    log
        Its lines, in order.
    after_lines
        Called every few thousand lines.

    Returns
    -------
    Traffic or None
        `None` where the log has no request of theirs.
    """
    kind, _, link = value.partition(":")
    wanted = value if scope == "account" else link
    traffic = Traffic()
    for number, line in enumerate(log):
        if number % 4_096 == 0:
            after_lines()
        if isinstance(line, LoggedRequest):
            request = line.request
            whose = request.account_id if scope == "account" else request.links.get(kind)
            if whose == wanted:
                traffic.add(request)
    return traffic if traffic.requests else None
