"""Puts a log that is somewhat out of order in order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

#: Lines whose median moves the clock. One line from a wrong clock, or a few dozen, move nothing
#: then, and the cost of sorting is shared.
BLOCK_LINES = 64


def in_order(
    items: Iterable[Item],
    time_s: Callable[[Item], float | None],
    window_s: float,
    lines_max: int,
) -> Iterator[Item]:
    """Hold items back until no earlier one is to be expected, and hand them on in order.

    What comes at most `window_s` of event time late comes out in order; equal times keep theirs.
    What is later comes out as soon as it is seen, where it stands. The clock is the median of the
    last `BLOCK_LINES` event times, never a single one: a line that is an hour ahead waits for its
    hour, and does not push out what is on time.

    Parameters
    ----------
    items
        As they stand in the log.
    time_s
        An item's event time, Unix seconds; an item that has none (`None`) passes at once.
    window_s
        How late an item may be, seconds of event time.
    lines_max
        How many items are held; beyond that the earliest comes out.
    """
    # Each with its sequence number, so that equal times never compare the items themselves. Most
    # come in order: those stand in a queue, and only what is late takes the dearer heap.
    queue: deque[tuple[float, int, Item]] = deque()
    late: list[tuple[float, int, Item]] = []
    block: list[float] = []
    clock_s = float("-inf")
    for sequence, item in enumerate(items):
        ts = time_s(item)
        if ts is None:
            yield item
            continue
        if not queue or ts >= queue[-1][0]:
            queue.append((ts, sequence, item))
        else:
            heapq.heappush(late, (ts, sequence, item))
        if len(queue) + len(late) > lines_max:
            yield _earliest(queue, late)
        block.append(ts)
        if len(block) == BLOCK_LINES:
            block.sort()
            clock_s = max(clock_s, block[BLOCK_LINES // 2])
            block.clear()
            until_s = clock_s - window_s
            while late and (late[0][0] <= until_s or (queue and queue[0][0] <= until_s)):
                yield _earliest(queue, late)
            while queue and queue[0][0] <= until_s:  # as nearly all of it comes
                yield queue.popleft()[2]
    while queue or late:
        yield _earliest(queue, late)


def _earliest(queue: deque[tuple[float, int, Item]], late: list[tuple[float, int, Item]]) -> Item:
    if late and (not queue or late[0] < queue[0]):
        return heapq.heappop(late)[2]
    return queue.popleft()[2]
