"""All partitions in one process: what the workers do together, for logs in files and for tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from models.decision import Decision, Source
from models.detector import Detector
from models.groups import Groups
from models.link_activity import LinkActivity
from models.observation import Observation
from models.request import Request

#: Requests judged in one go.
_RUN_MAX = 512


class Assembly:
    """Drives the detectors of all partitions, and hands on what they tell each other.

    Parameters
    ----------
    detectors
        One for each partition.
    groups
        The same for links; none leaves each account to itself.
    home_of
        Returns the partition of an account, or of a link.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        groups: Sequence[Groups] = (),
        home_of: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._detectors = detectors
        self._groups = groups
        self._home_of = home_of
        self._told: list[LinkActivity] = []
        self._waiting: list[deque[tuple[Request, int]]] = [deque() for _ in detectors]

    def add(self, partition: int, request: Request, place: int) -> None:
        """Append a request to a partition's log; `place` goes into the evidence."""
        self._waiting[partition].append((request, place))

    def run(self) -> Iterator[tuple[int, Observation]]:
        """Judge all that was added; yield what came of it, with its partition.

        Those that run ahead wait for those behind, as long as these have something to judge.
        """
        while any(self._waiting):
            goes_on = False
            for partition, waiting in enumerate(self._waiting):
                while waiting:
                    seen = self._observe(partition)
                    yield partition, seen
                    goes_on = goes_on or bool(seen.taken)
                    if seen.lacking:
                        break
            if not goes_on:
                self._excuse([other for other, waiting in enumerate(self._waiting) if not waiting])

    def settle(self, place: int) -> list[Decision]:
        """Judge the links that were told of since; what comes of it stands at `place`.

        Workers do so within a second or two. Here it is for the caller to choose when.
        """
        told, self._told = self._told, []
        told.sort(key=lambda activity: (activity.at_s, activity.request_id, activity.link))
        decisions: list[Decision] = []
        for activity in told if self._groups else ():
            found = self._groups[self._home_of(activity.link)].observe([activity], [place])
            decisions += found.reviews
            for verdict in found.verdicts:
                home = self._home_of(verdict.account_id)
                decisions += self._detectors[home].apply(verdict, Source("", home, place))
        return decisions

    def _observe(self, partition: int) -> Observation:
        waiting = self._waiting[partition]
        some = [waiting[n] for n in range(min(len(waiting), _RUN_MAX))]
        requests, places = zip(*some, strict=True)
        seen = self._detectors[partition].observe(requests, places)
        for _ in range(seen.taken):
            waiting.popleft()
        self._told += seen.activities
        for digest in seen.digests:
            for detector in self._detectors:
                detector.receive(digest, 0)
        return seen

    def _excuse(self, partitions: list[int]) -> None:
        for detector in self._detectors:
            detector.exchange.excuse(partitions)
