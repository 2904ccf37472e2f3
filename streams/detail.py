"""How much a worker that is behind judges in full: of nobody quiet less, of everybody else alike.

What is judged must follow from the logs, or whoever does it again comes to other decisions. How
far behind a worker is does not. So it is said in the log of notices, and holds from the cut on
that applies it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from weakref import WeakKeyDictionary

import msgspec
from faust.types import TP

from models.notices import Detail
from streams.app import App
from streams.fence import SessionOverError
from streams.outbox import Row
from streams.shard import Shard

log = logging.getLogger("pairwatch")

#: Requests of one account in a minute that are judged in full; 0 is all of them. One a second, as
#: of a banned account, is far beyond all levels; one in four seconds is still faster than people
#: are who sit before pictures for a minute.
STEPS = (0, 60, 30, 15)
#: Behind by so much less than where detail ends, a partition has caught up.
_CAUGHT_UP = 0.5


def step(full_per_minute: int, behind: int, behind_before: int, behind_max: int) -> int:
    """Return how many requests of one account in a minute are to be judged in full from here on.

    Parameters
    ----------
    full_per_minute
        How many they are now: one of `STEPS`.
    behind, behind_before
        Requests not judged yet, and as many seconds ago as it takes a step to show.
    behind_max
        From where on detail is left out; 0 is never.

    Examples
    --------
    >>> step(0, 90, 80, 100), step(0, 120, 90, 100), step(60, 110, 120, 100), step(60, 40, 60, 100)
    (0, 60, 60, 0)
    """
    if not behind_max or behind < _CAUGHT_UP * behind_max:
        return 0
    if behind <= behind_max or (full_per_minute and behind <= behind_before):
        return full_per_minute
    return STEPS[min(STEPS.index(full_per_minute) + 1, len(STEPS) - 1)]


class Detailing:
    """Watches how far behind this worker's partitions are, and says what follows.

    Parameters
    ----------
    app
        The worker.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        #: Of each partition, as long as it is this worker's: how far it was behind, and what was
        #: said last.
        self._known: WeakKeyDictionary[Shard, tuple[int, int]] = WeakKeyDictionary()

    async def adjust(self) -> None:
        """Say for each partition how much is to be judged in full, where that changes.

        To be called every few seconds.
        """
        reduced = 0
        # Who keys requests anew is behind with forwarding them rather than with what it forwarded.
        coming = self._app.consumer.to_forward()
        for tp in self._app.assignment_of_accounts():
            shard, end = self._app.checkpointer.shard(tp), self._app.log_end(tp)
            if shard is not None and end is not None:
                await self._adjust(tp, shard, max(end - shard.offset, 0) + coming)
                reduced += shard.full_per_minute > 0
        self._app.metrics.reduced_detail_partitions.set(reduced)

    async def _adjust(self, tp: TP, shard: Shard, behind: int) -> None:
        now = shard.full_per_minute
        before, said = self._known.get(shard, (behind, now))
        then = now
        if said == now:  # what was said before holds by now
            behind_max = self._app.settings.limits.full_detail_lag_events
            then = said = step(now, behind, before, behind_max)
        self._known[shard] = behind, said
        if then == now:
            return
        if then:
            log.warning(
                "%s[%d] is %d requests behind: of each account %d in a minute are judged in full "
                "from here on, of what goes beyond that only how much it is",
                tp.topic,
                tp.partition,
                behind,
                then,
            )
        else:
            log.info("%s[%d] has caught up: all is judged in full again", tp.topic, tp.partition)
        notice = Detail(id=f"detail:{tp.partition}:{shard.offset}:{then}", full_per_minute=then)
        row = Row(notice.id.encode(), msgspec.json.encode(notice))
        topic = self._app.settings.topics.notices
        with contextlib.suppress(SessionOverError):  # then the partition is somebody else's
            await asyncio.gather(*await self._app.outbox.send_rows(topic, tp.partition, [row]))
