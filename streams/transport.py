"""Faust's aiokafka transport, in batches and with offset books of its own.

Faust pays for each message five tasks, a sleep, sensors and an acknowledgement; here a message is
all that a poll brought of a topic. What may be committed is not guessed from acknowledged offsets
(which goes wrong with gaps and prefetched records) but asked of whoever makes the work durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import IllegalStateError
from faust.transport.consumer import TP
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage
from mode.services import Service
from mode.utils.futures import notify
from mode.utils.queues import FlowControlEvent

from streams.fence import FencedProducer
from streams.reader import Reader

#: Records in a batch: judging 512 keeps the event loop busy for milliseconds only, so that
#: heartbeats and probes are answered, and what is decoded of them stays in the core's cache.
BATCH_RECORDS_MAX = 512
#: Records asked of aiokafka at once, over all partitions.
POLL_RECORDS_MAX = 8_192
#: Of a session, the share within which its owner may rely on it: clocks differ, messages linger.
_SESSION_SHARE = 0.5

#: How long a poll waits for records, and so a seek for a poll.
_POLL_S = 0.1
#: How soon it is seen that there is room again where every partition had enough to do.
_FULL_WAIT_S = 0.02
#: A group's coordinator is away for seconds when its broker is restarted.
_ASK_AGAIN_S = 0.5


class Batch(NamedTuple):
    """Consecutive records of one partition.

    `after` is the offset of the record that was read before them, -1 if reading began with them.
    """

    tp: TP
    records: list[Any]
    after: int

    @property
    def offset(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)


class Flow(FlowControlEvent):  # type: ignore[misc]
    """Faust's gate before the agents, which here lets go of nothing when it opens.

    After a rebalance the consumer is set going, then sought to where reading begins, and only
    then the gate opens; Faust throws away what has been read in between, never to read it again.
    What is stale was thrown away when the gate was shut.
    """

    def resume(self) -> None:
        """Open the gate."""
        self._suspend.clear()
        self._resume.set()


class Checkpointer(Protocol):
    """Makes work durable and says what may be committed.

    `wanted` is set when somebody waits for a checkpoint, and cleared by whoever sees to it.
    """

    wanted: asyncio.Event

    def due(self, tps: set[TP], coming: int) -> set[TP]:
        """Return those of these partitions whose work had better be made durable now.

        `coming` is how many requests are on their way to each.
        """

    async def checkpoint(self, tps: set[TP]) -> Mapping[TP, int]:
        """Make what was done with these partitions durable.

        Returns the offset to commit for each partition that has moved on: that of the next
        record to read.
        """

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Take note of what has been committed."""

    def resume_offsets(self, tps: set[TP]) -> dict[TP, int]:
        """Return where to read on, for partitions whose state knows better than the broker."""

    def begin_at(self, offsets: Mapping[TP, int]) -> None:
        """Take note of where reading begins."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers batches, and commits what the checkpointer has made durable.

    A message's value is the list of those that one poll brought of its topic.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The last record read of each partition since reading began there anew.
        self._last_polled: dict[TP, int] = {}
        #: What is to come next of each partition, where that is known.
        self._next: dict[TP, int] = {}
        #: Where no record is left of a log: the offset after its last one, and that at its end.
        self._last_gap: dict[TP, tuple[int, int]] = {}
        #: The group's generation in which reading has been set to where the work goes on.
        self._placed: int | None = None
        #: Until when (`_awake_or_not_s`) nobody can have been given our partitions.
        self._session_ends_s = 0.0
        #: No poll may span a seek: aiokafka waits through a rebalance, and then what was polled
        #: in one generation would be what the next has just been sought to.
        self._reading = asyncio.Lock()

    def _new_consumer_thread(self) -> Reader:
        return Reader(self, loop=self.loop, beacon=self.beacon)

    def close(self) -> None:
        """Leave it to `stop`, which is under way when Faust calls this in a rebalance.

        Faust would close the client in another event loop than its own. The coordinator that is
        just joining then waits for ever for what the client was asking, and `stop` for it.
        """

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 -- Faust's
        generation, changelogs = self.app.consumer_generation_id, self.app.tables.changelog_topics
        if active_partitions:
            if generation == self._placed:
                active_partitions = active_partitions - self.app.lanes.full
            else:
                # What was read from elsewhere might be delivered in part, among what is read anew.
                active_partitions = {tp for tp in active_partitions if tp.topic in changelogs}
            if not active_partitions:  # to aiokafka none means all
                await asyncio.sleep(_FULL_WAIT_S)
                return {}
        async with self._reading:
            polled = await super()._getmany(active_partitions, _POLL_S)
        if generation != self.app.consumer_generation_id:
            return {}
        if not polled and self.app.in_recovery:
            await self.app.tables.recovery.pass_gaps(generation)
        elif generation == self._placed:
            self._notice_gaps(self.assignment() - polled.keys())
        for tp, records in polled.items():
            if tp.topic in changelogs:
                await self.app.tables.recovery.take_up(tp, records, generation)
            else:
                await self._notice_loss(tp, records[0].offset)
        if generation != self.app.consumer_generation_id:
            return {}  # meanwhile; the books below may be those of another assignment
        batches: dict[str, list[Batch]] = defaultdict(list)
        for tp, records in polled.items():
            if tp.topic in changelogs:
                continue
            self._notice_new_beginning(tp, records[0].offset)
            self._next[tp] = records[-1].offset + 1
            for i in range(0, len(records), BATCH_RECORDS_MAX):
                after = self._last_polled.get(tp, -1)
                batch = Batch(tp, records[i : i + BATCH_RECORDS_MAX], after)
                batches[tp.topic].append(batch)
                self._last_polled[tp] = batch.offset
        # To Faust it is one message of the first partition.
        return {some[0].tp: [some] for some in batches.values()}

    def _notice_gaps(self, tps: Collection[TP]) -> None:
        """Take note of logs whose end has been reached over offsets that have no records.

        Every transaction ends with one, and brokers count them.
        """
        state_of = self._thread._consumer._subscription.subscription.assignment.state_value
        for tp in tps:
            state, begin = state_of(tp), self._next.get(tp, 0)
            is_at_end = state.has_valid_position and state.position == state.highwater
            if is_at_end and state.position > begin:
                self._last_gap[tp] = begin, state.position

    def log_end(self, tp: TP) -> int | None:
        """Return the offset after a partition's last record, `None` if it isn't known."""
        try:
            end: int | None = self.highwater(tp)
        except (AssertionError, AttributeError):
            return None  # revoked this moment, in the consumer's own thread
        begin, passed = self._last_gap.get(tp, (0, 0))
        return begin if passed == end and begin == self._next.get(tp, 0) else end

    def _notice_new_beginning(self, tp: TP, offset: int) -> None:
        """Tell of a log that ends before what was read of it already, as of a topic made anew."""
        read, end = self._next.get(tp), self.highwater(tp)
        if read is not None and offset < read and end is not None and end < read:
            self.app.on_new_beginning(tp, read, offset)

    async def _notice_loss(self, tp: TP, offset: int) -> None:
        """Tell of records that were deleted before they were read.

        A gap by itself means nothing: compaction and transactions leave some.
        """
        expected = self._next.get(tp, offset)
        if offset > expected:
            begin = (await self.earliest_offsets(tp)).get(tp, 0)
            if begin > expected:
                self.app.on_lost(tp, expected, min(begin, offset))

    def _to_message(self, tp: TP, record: list[Batch]) -> ConsumerMessage:
        last = record[-1].records[-1]
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            # Faust drops what lies below that; what comes twice is dropped by who takes it.
            offset=self._read_offset[tp] or 0,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=record,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look for no partition without progress: readiness does.

        Faust's look ends a worker whose partitions are dealt out anew at that moment.
        """

    verify_recovery_event_path = verify_event_path

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

    @Service.task  # type: ignore[untyped-decorator]
    async def _commit_handler(self) -> None:
        """Commit again and again what is due; ends and rebalances commit everything."""
        checkpointer: Checkpointer = self.app.checkpointer
        while not self.should_stop:
            await self.wait_first(checkpointer.wanted, timeout=self.commit_interval)
            # A rebalance's checkpoint may be of other partitions than the one that waits.
            checkpointer.wanted.clear()
            due = checkpointer.due(set(self.assignment()), self.to_forward())
            await self.commit(due)

    def to_forward(self) -> int:
        """Return how many requests are still to be forwarded to each judged partition, on average.

        This worker knows of what it forwards itself; others are taken to be as far behind.
        """
        topics = self.app.settings.topics
        mine = [tp for tp in self.assignment() if tp.topic == topics.requests]
        if topics.keyed_by_account or not mine:
            return 0
        ends = {tp: end for tp in mine if (end := self.log_end(tp)) is not None}
        waiting = sum(end - self._next.get(tp, end) for tp, end in ends.items())
        everybodys = self._thread._consumer.partitions_for_topic(topics.requests) or mine
        return int(waiting * len(everybodys) / len(mine) / topics.partitions)

    async def force_commit(
        self, topics: set[TP] | None = None, start_new_transaction: bool = True
    ) -> bool:
        """Make the work of these partitions, by default of all, durable; then commit it."""
        tps = set(self.assignment()) if topics is None else topics
        offsets = await self.app.checkpointer.checkpoint(tps)
        if not offsets or not await self._commit_offsets(offsets):
            return False
        self.app.checkpointer.committed(offsets)
        return True

    @property
    def session_lasts(self) -> bool:
        """Whether this worker is still a member of its group, by what it was told last."""
        return (
            self._thread._consumer._coordinator.generation >= 0
            and _awake_or_not_s() < self._session_ends_s
        )

    async def is_member(self) -> bool:
        """Whether the group still counts on this worker, so that nobody else has its partitions.

        A process that was suspended for longer than its session takes a moment to notice that
        others have gone on without it. So it asks, until there is an answer, and trusts that for
        no longer than a session lasts.
        """
        coordinator = self._thread._consumer._coordinator
        while coordinator.generation >= 0:  # reset when the broker says that we are none
            if self.session_lasts:
                return True
            asked_s = _awake_or_not_s()
            beat = asyncio.run_coroutine_threadsafe(
                coordinator._do_heartbeat(), self._thread.thread_loop
            )
            if await asyncio.wrap_future(beat):
                session_s = self.app.conf.broker_session_timeout
                self._session_ends_s = asked_s + _SESSION_SHARE * session_s
            else:
                await asyncio.sleep(_ASK_AGAIN_S)
        return False

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        """Go to where each partition's state ends, without state to the committed offset.

        State is what judging goes on from, so it decides: a commit that came late (or a changelog
        that lost its end) would otherwise repeat events (or leave some out). Where there is
        neither, aiokafka stays where it has read to, whether that was worked on or not.
        """
        async with self._reading:
            return await self._place()

    async def _place(self) -> Mapping[TP, int | None]:
        self._last_polled.clear()
        self._last_gap.clear()
        generation = self.app.consumer_generation_id
        offsets: dict[TP, int | None] = dict(await super().seek_to_committed())
        if self.app.is_at_work:
            offsets |= self.app.checkpointer.resume_offsets(set(self.assignment()))
        changelogs = self.app.tables.changelog_topics
        mine = {tp: offset for tp, offset in offsets.items() if tp.topic not in changelogs}
        if self.app.is_at_work:
            earlier = await self._thread.call_thread(self._thread.note_topics, mine.keys())
            for tp, offset in earlier.items():
                self.app.on_new_beginning(tp, offset, 0)
                mine[tp] = offsets[tp] = None
        unknown = [tp for tp, offset in mine.items() if not offset or offset < 0]
        self._next = {tp: offset for tp, offset in mine.items() if offset and tp not in unknown}
        self.app.checkpointer.begin_at(self._next)
        try:
            if unknown:
                await self._thread.seek_to_beginning(*unknown)
            await self.seek_wait(self._next)
        except IllegalStateError:  # the next rebalance has begun, after which this is done anew
            if self.app.is_at_work:
                raise
        else:
            self._placed = generation if self.app.is_at_work else None
        return offsets

    async def topics_made_anew(self) -> list[str]:
        """Return those of the topics that are read which have been deleted and made anew."""
        made_anew: list[str] = await self._thread.call_thread(self._thread.topics_made_anew)
        return made_anew

    async def commit_and_end_transactions(self) -> None:
        """Commit everything that is done, also what came while an earlier commit was under way."""
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """The aiokafka transport with the batching consumer and the fenced producer."""

    Consumer = BatchConsumer
    Producer = FencedProducer


def _awake_or_not_s() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
