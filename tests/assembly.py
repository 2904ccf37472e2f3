"""All partitions in one process, each at its own pace, as those of workers are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from models.detector import Detector
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
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors
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

    def _observe(self, partition: int) -> Observation:
        waiting = self._waiting[partition]
        some = [waiting[n] for n in range(min(len(waiting), _RUN_MAX))]
        requests, places = zip(*some, strict=True)
        seen = self._detectors[partition].observe(requests, places)
        for _ in range(seen.taken):
            waiting.popleft()
        for digest in seen.digests:
            for detector in self._detectors:
                detector.exchange.receive(digest, 0)
        return seen

    def _excuse(self, partitions: list[int]) -> None:
        for detector in self._detectors:
            detector.exchange.excuse(partitions)
