"""A queue for each partition, so that one that waits holds up no other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from faust.types import TP

Work = Callable[[], Awaitable[None]]
#: Batches queued at which a partition is no longer fetched, and at which it is again: enough that
#: it never runs dry. One poll's worth may come on top; a batch is half a megabyte at most.
PAUSE_AT, RESUME_AT = 16, 8


class Lanes:
    """Works on each partition's batches one after the other, and on partitions side by side."""

    def __init__(self) -> None:
        #: Partitions of which nothing is to be fetched for now. (Faust's own pausing would throw
        #: away what of the same poll has not been delivered yet.)
        self.full: set[TP] = set()
        self._queues: dict[TP, deque[Work]] = {}
        self._running: dict[TP, asyncio.Task[None]] = {}

    def put(self, tp: TP, work: Work) -> None:
        """Queue the work on a batch; what goes wrong with it is its own to tell."""
        queue = self._queues.setdefault(tp, deque())
        queue.append(work)
        if len(queue) >= PAUSE_AT:
            self.full.add(tp)
        if tp not in self._running:
            self._running[tp] = asyncio.create_task(self._run(tp, queue))

    def drop(self, tps: Iterable[TP]) -> None:
        """Forget partitions that were revoked; the next owner reads their batches again."""
        for tp in tps:
            self._queues.pop(tp, None)
            self.full.discard(tp)
            if (running := self._running.pop(tp, None)) is not None:
                running.cancel()

    def clear(self) -> None:
        """Forget all partitions, at the end: what is queued is not to be worked on."""
        self.drop([*self._queues])

    async def _run(self, tp: TP, queue: deque[Work]) -> None:
        while queue:
            await queue.popleft()()
            if len(queue) <= RESUME_AT:
                self.full.discard(tp)
        if self._queues.get(tp) is queue:
            del self._running[tp]
