"""Puts a log that is somewhat out of order in order."""

from __future__ import annotations

import heapq
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
    # Each with its sequence number, so that equal times never compare the items themselves.
    held: list[tuple[float, int, Item]] = []
    block: list[float] = []
    clock_s = float("-inf")
    for sequence, item in enumerate(items):
        ts = time_s(item)
        if ts is None:
            yield item
            continue
        heapq.heappush(held, (ts, sequence, item))
        if len(held) > lines_max:
            yield heapq.heappop(held)[2]
        block.append(ts)
        if len(block) == BLOCK_LINES:
            block.sort()
            clock_s = max(clock_s, block[BLOCK_LINES // 2])
            block.clear()
            while held and held[0][0] <= clock_s - window_s:
                yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
