"""Faust's aiokafka transport, in batches and with offset books of its own.

Faust pays for each message two tasks, a sleep, sensors and an acknowledgement; here a message is
a batch of records. What may be committed is not guessed from acknowledged offsets (which goes
wrong with gaps and prefetched records) but asked of whoever makes the work durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from faust.transport.consumer import TP
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage
from mode.utils.futures import notify

#: Records in a batch: 512 amortise Faust's work for a message to nothing, and judging them keeps
#: the event loop busy for milliseconds only, so that heartbeats and probes are answered.
BATCH_RECORDS_MAX = 512
#: Records asked of aiokafka at once, over all partitions.
POLL_RECORDS_MAX = 8_192


class Batch(NamedTuple):
    """Consecutive records of one partition, delivered as one message."""

    records: list[Any]

    @property
    def offset(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)


class Checkpointer(Protocol):
    """Makes work durable and says what may be committed."""

    async def checkpoint(self, tps: set[TP]) -> Mapping[TP, int]:
        """Make what was done with these partitions durable.

        Returns the offset to commit for each partition that has moved on: that of the next
        record to read.
        """

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Take note of what has been committed."""

    def resume_offsets(self, tps: set[TP]) -> dict[TP, int]:
        """Return where to read on, for partitions whose state knows better than the broker."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers batches, and commits what the checkpointer has made durable."""

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 -- Faust's
        polled = await super()._getmany(active_partitions, timeout)
        if not polled:
            return polled
        changelogs = self.app.tables.changelog_topics
        batches: dict[TP, list[Any]] = {}
        for tp, records in polled.items():
            if tp.topic in changelogs:
                batches[tp] = records  # recovery counts them one by one
                continue
            self._notice_new_beginning(tp, records[0].offset)
            batches[tp] = [
                Batch(records[i : i + BATCH_RECORDS_MAX])
                for i in range(0, len(records), BATCH_RECORDS_MAX)
            ]
        return batches

    def _notice_new_beginning(self, tp: TP, offset: int) -> None:
        """Read a log that ends before what was read of it already, as of a topic made anew.

        Faust would drop its records until their offsets have caught up.
        """
        read, end = self._read_offset[tp], self.highwater(tp)
        if read is not None and offset < read and end is not None and end < read:
            self._read_offset[tp] = None
            self.app.on_new_beginning(tp, read, offset)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Batch):
            return super()._to_message(tp, record)
        last = record.records[-1]
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=record.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=record.records,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps (compaction, transaction markers): the books go by batches."""

    def ack(self, message: ConsumerMessage) -> bool:
        """Take note that a batch is no longer being worked on; nothing is committed for it."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Make the work durable, then commit it."""
        if not self._is_member:
            return False
        offsets = await self.app.checkpointer.checkpoint(set(self.assignment()))
        if not offsets or not await self._commit_offsets(offsets):
            return False
        self.app.checkpointer.committed(offsets)
        return True

    @property
    def _is_member(self) -> bool:
        """Whether the group still counts on this worker, as far as it has been told.

        After a pause that was longer than the session others have taken the partitions over, and
        what this worker would write would fall among theirs.
        """
        consumer = self._thread._consumer
        return consumer is not None and consumer._coordinator.generation >= 0

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where each partition's state ends, and without state to the committed offset.

        State is what judging goes on from, so it decides: a commit that came late (or a changelog
        that lost its end) would otherwise repeat events (or leave some out).
        """
        offsets: dict[TP, int] = dict(await super().seek_to_committed())
        resume: dict[TP, int] = self.app.checkpointer.resume_offsets(set(self.assignment()))
        await self.seek_wait(resume)
        return offsets | resume

    async def commit_and_end_transactions(self) -> None:
        """Commit everything that is done, also what came while an earlier commit was under way."""
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """The aiokafka transport with the batching consumer."""

    Consumer = BatchConsumer
