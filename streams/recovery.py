"""State comes back from the changelog: whole polls at a time, into the database at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import IllegalStateError
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

log = logging.getLogger("pairwatch")

#: Records written in one go: some ten milliseconds, after which probes have their turn.
_RECORDS_MAX = 2_048
#: How often progress is told.
_TELL_S = 5.0


class BulkRecovery(Recovery):  # type: ignore[misc]
    """Faust's recovery, which is handed what a poll brings instead of one event after another.

    Where to begin and to end, whether the state came from this changelog, and what to do when
    another rebalance comes in between stay Faust's. Its queue of events (200 µs each) and the
    task that empties it are left out.
    """

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        # Or the last recovery's end would be taken for this one's.
        self.signal_recovery_end.clear()

    async def take_up(self, tp: TP, records: Sequence[Any], generation: int) -> None:
        """Write records of a changelog to the state.

        What was polled before a rebalance, or comes when nothing is wanted, is left out: reading
        begins again where the state ends.

        Parameters
        ----------
        tp, records
            Consecutive ones of one partition, polled last.
        generation
            The group's when they were asked for.
        """
        for at in range(0, len(records), _RECORDS_MAX):
            offsets = self._wanted(tp, generation)
            if offsets is None:
                return
            seen = -1 if offsets[tp] is None else offsets[tp]
            some = [each for each in records[at : at + _RECORDS_MAX] if each.offset > seen]
            if some:
                try:
                    self.tp_to_table[tp].take_up(tp.partition, some)
                except Exception as error:  # a full disk: to go on would leave holes in the state
                    self.app.fail(error)
                    return
                offsets[tp] = some[-1].offset
                if offsets is self.active_offsets:
                    self.app.metrics.recovered_records.inc(len(some))
            await asyncio.sleep(0)
        self._end_if_complete()

    async def pass_gaps(self, generation: int) -> None:
        """Act on a poll that brought nothing: the last offsets may have no records.

        Compaction and transactions leave such gaps, and Faust waits for their records for ever.
        """
        for tp in self.active_stats():
            try:
                position = await self.app.consumer.position(tp)
            except IllegalStateError:
                return  # revoked this moment
            offsets, end = self._wanted(tp, generation), self.active_highwaters[tp]
            if offsets is not None and position is not None and position > end:
                offsets[tp] = max(offsets[tp], end)
        self._end_if_complete()

    def _wanted(self, tp: TP, generation: int) -> Any:
        """Return the books that hold a partition's offset, `None` if its records aren't wanted."""
        # The gate is open from when it is known where to begin and to end, to the next rebalance.
        if generation != self.app.consumer_generation_id or not self.app.flow_control.is_active():
            return None
        if tp in self.standby_tps:
            return self.standby_offsets
        return self.active_offsets if tp in self.active_tps and self.in_recovery else None

    def _end_if_complete(self) -> None:
        if self.in_recovery and self.app.flow_control.is_active() and not self.need_recovery():
            for tp in self.active_tps:
                self.tp_to_table[tp].settle(tp.partition)
            self._set_recovery_ended()
            self.signal_recovery_end.set()
        if not self.tables.standbys_ready and not self.standby_remaining_total():
            self.tables.on_standbys_ready()

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Leave the queue alone: nothing comes through it."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _publish_stats(self) -> None:
        """Tell how far it has come."""
        left_before = 0
        while not self.should_stop:
            await self.sleep(_TELL_S)
            left = self.active_remaining_total() if self.in_recovery else 0
            a_second = (left_before - left) / _TELL_S
            if left and a_second > 0:
                log.info(
                    "recovering state: %d records of the changelog to go, %d a second, %.0f s left",
                    left,
                    a_second,
                    left / a_second,
                )
            elif left:
                log.info("recovering state: %d records of the changelog to go", left)
            left_before = left


class BulkTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with that recovery."""

    _recovery: BulkRecovery | None = None

    @property
    def recovery(self) -> BulkRecovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
