"""What is done becomes durable, in the one order that loses nothing and doubles nothing.

Decisions acknowledged, then state written to the changelog and the table, then offsets committed.
A crash between any two steps repeats only what those who read can drop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from faust.types import TP

from streams import faults
from streams.fence import SessionOverError
from streams.health import Readiness
from streams.marker import resume_offsets
from streams.metrics import Metrics
from streams.outbox import Row
from streams.settings import Logs
from streams.shard import Checkpoint, Shard
from streams.state_log import StateLog
from streams.table import StateTable
from streams.transport import Batch

log = logging.getLogger("pairwatch")

Pending = asyncio.Future[Any]

#: Sent and not yet acknowledged, for one partition: beyond this its agent waits.
PENDING_MAX = 10_000


class Checkpoints:
    """The offset books of all partitions, and the checkpoints that settle them.

    Parameters
    ----------
    table
        Where state is kept.
    state_log
        Sends its changelog.
    is_member
        Says whether the group still counts on this worker.
    metrics, readiness
        Are told of progress.
    logs
        The topics whose partitions have state, each number's together.
    apply_notices
        Applies the notices that a partition owes, sends what follows and returns what was sent.
    publish_ends
        Sends that nothing applies any more to the subjects with these keys.
    accounts_in_memory_max
        Live profiles of all partitions together; idle ones above it wait on disk.
    """

    def __init__(
        self,
        table: StateTable,
        state_log: StateLog,
        is_member: Callable[[], Awaitable[bool]],
        metrics: Metrics,
        readiness: Readiness,
        logs: Logs,
        apply_notices: Callable[[Shard], Awaitable[list[Pending]]],
        publish_ends: Callable[[list[str]], Awaitable[list[Pending]]],
        accounts_in_memory_max: int,
    ) -> None:
        self._table = table
        self._state_log = state_log
        self._is_member = is_member
        self._metrics = metrics
        self._readiness = readiness
        self._logs = logs
        self._apply_notices = apply_notices
        self._publish_ends = publish_ends
        self._accounts_in_memory_max = accounts_in_memory_max
        self._shards: dict[TP, Shard] = {}
        #: For each forwarded partition the batches delivered, in order: the offset after each,
        #: and what must be acknowledged before it may be committed.
        self._forwarded: dict[TP, deque[tuple[int, list[Pending]]]] = defaultdict(deque)
        self._pending: dict[TP, list[Pending]] = defaultdict(list)
        #: A batch is judged and its decisions are noted as sent, or neither, when the cut is made.
        self._locks: dict[TP, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Lets one partition be cut in a turn of the event loop, as that takes a while: everybody
        #: else has a turn before the next one is.
        self._turn = asyncio.Lock()
        #: Set when somebody waits for room: a checkpoint is due at once.
        self.wanted = asyncio.Event()
        #: The last record taken of each partition: Faust delivers some again.
        self._taken: dict[TP, int] = {}
        #: Partitions that others had taken over when something was to be written. Their live
        #: objects have lost it and serve until the rebalance that must follow, but no checkpoint.
        self._lost: set[TP] = set()
        self._failed = False
        self._settled = asyncio.Condition()

    async def wait_until(self, tp: TP, is_so: Callable[[Shard], bool]) -> None:
        """Wait for checkpoints to bring something about, or the partition to be lost."""
        async with self._settled:
            await self._settled.wait_for(
                lambda: (
                    self._failed
                    or tp in self._lost
                    or (shard := self._shards.get(tp)) is None
                    or is_so(shard)
                )
            )

    async def wait_for_room(self, tp: TP) -> None:
        """Wait until a partition may judge another batch before the next checkpoint."""
        shard = self._shards.get(tp)
        if shard is not None and not shard.has_room(self._accounts_max):
            self.wanted.set()
        await self.wait_until(tp, lambda shard: shard.has_room(self._accounts_max))

    @property
    def _accounts_max(self) -> int:
        """Each partition's part of the live profiles."""
        return self._accounts_in_memory_max // max(len(self._shards), 1)

    def working(self, tp: TP) -> asyncio.Lock:
        """Return the lock to hold while a batch changes a partition's state."""
        return self._locks[tp]

    def fail(self) -> None:
        """Commit nothing any more: the live objects or what was sent of them are in doubt."""
        self._failed = True

    def add_shard(self, tp: TP, shard: Shard) -> None:
        """Take the state of a partition into the checkpoints."""
        self._shards[tp] = shard

    def shard(self, tp: TP) -> Shard | None:
        """Return the state of a partition, `None` before its first batch."""
        return self._shards.get(tp)

    def take(self, batch: Batch) -> list[Any]:
        """Return the records of a batch that have not been taken yet.

        Raises
        ------
        RuntimeError
            Records before it were left out: on their way here, not in Kafka.
        """
        tp = batch.tp
        last = self._taken.get(tp, -1)
        if batch.after > last:
            raise RuntimeError(
                f"{tp.topic}[{tp.partition}]: the records after {last} and up to {batch.after} "
                "were read and not worked on"
            )
        self._taken[tp] = max(last, batch.offset)
        if batch.records[0].offset > last:  # nearly always
            return batch.records
        return [record for record in batch.records if record.offset > last]

    def begin_at(self, offsets: Mapping[TP, int]) -> None:
        """Take note of where reading begins: what comes before is done, and no loss.

        Some of it may have been read already, and is thrown away unseen by Faust.
        """
        for tp, offset in offsets.items():
            self._taken[tp] = max(self._taken.get(tp, -1), offset - 1)

    def begin_anew(self, tp: TP) -> None:
        """Take records from the beginning, of a log that was made anew."""
        self._taken.pop(tp, None)

    @property
    def shards(self) -> Collection[Shard]:
        """The state of all partitions that have had a batch."""
        return self._shards.values()

    @property
    def live_accounts(self) -> int:
        """Profiles in memory, over all partitions."""
        return sum(shard.detector.live_accounts for shard in self._shards.values())

    @property
    def watermark_s(self) -> float | None:
        """Event time (Unix seconds) that the slowest partition with any events has reached."""
        return min((s.watermark_s for s in self._shards.values() if s.watermark_s), default=None)

    def drop(self, tps: Iterable[TP]) -> None:
        """Forget partitions that were revoked; what is not durable the next owner does again."""
        for tp in tps:
            if (shard := self._shards.pop(tp, None)) is not None:
                shard.arrived.set()  # nobody must wait for what comes to somebody else
            self._pending.pop(tp, None)
            self._forwarded.pop(tp, None)
            self._lost.discard(tp)
            self._taken.pop(tp, None)

    @property
    def is_settled(self) -> bool:
        """Whether all that was done is durable."""
        return not any(self._forwarded.values()) and all(
            shard.reach == shard.durable for shard in self._shards.values()
        )

    def clear(self) -> None:
        """Forget all partitions: at the end, as sketches that outlive the interpreter complain of
        it, and before others are dealt out, of which nothing may be known yet.
        """
        self.drop([*self._shards, *self._forwarded, *self._taken])
        self._lost.clear()

    def resume_offsets(self, tps: set[TP]) -> dict[TP, int]:
        """Return where to read on, for those of these partitions that have state."""
        offsets: dict[TP, int] = {}
        for tp in tps:
            if tp.topic in self._logs:
                shard = self._shards.get(self._home(tp))
                resume = shard.resume if shard else resume_offsets(self._table.reader(tp.partition))
                if offset := resume[self._logs.index(tp.topic)]:
                    offsets[tp] = offset
        return offsets

    def waiting(self, tp: TP, committed: int, end: int) -> int:
        """Return how many of a log's records, up to its `end`, wait for being judged for good."""
        shard = self._shards.get(self._home(tp))
        if shard is not None and tp.topic == self._logs.notices:
            committed = max(committed, shard.notices_done)
        return max(end - committed, 0)

    def _home(self, tp: TP) -> TP:
        """Return the judged partition that one of its logs belongs to."""
        return TP(self._logs.requests, tp.partition)

    async def sent(self, tp: TP, pending: list[Pending]) -> None:
        """Note what was sent because of a judged partition."""
        book = self._pending[tp]
        book.extend(pending)
        faults.reached("decisions-sent")
        if len(book) > PENDING_MAX:
            await self._acknowledged(tp, book, self._shards)

    async def forwarded(self, tp: TP, next_offset: int, pending: list[Pending]) -> None:
        """Note that a batch was passed on, and up to where."""
        book = self._forwarded[tp]
        book.append((next_offset, pending))
        if sum(len(waiting) for _, waiting in book) > PENDING_MAX:
            every = [future for _, waiting in book for future in waiting]
            await self._acknowledged(tp, every, self._forwarded)

    async def _acknowledged(
        self, tp: TP, pending: Iterable[Pending], owned: Mapping[TP, object]
    ) -> bool:
        """Wait for what was sent; `False` if the session ended before all of it had left."""
        mine = owned.get(tp)
        try:
            await asyncio.gather(*pending)
        except SessionOverError:
            if owned.get(tp) is mine:
                self._lose(tp)
            return False
        return True

    def _lose(self, tp: TP) -> None:
        """Write nothing more of a partition that is somebody else's; a rebalance must follow."""
        self._lost.add(tp)
        log.warning(
            "%s[%d]: the group has gone on without this worker, which was away for longer than "
            "its session; whoever has the partition now does again what was not durable",
            tp.topic,
            tp.partition,
        )

    def due(self, tps: set[TP], coming: int) -> set[TP]:
        """Return those of these partitions whose next checkpoint is not better put off.

        `coming` is how many requests are on their way to each.
        """
        return {
            tp
            for tp in tps
            if (shard := self._shards.get(tp)) is None
            or not shard.puts_off(self._accounts_max, coming)
        }

    async def checkpoint(self, tps: set[TP]) -> Mapping[TP, int]:
        """Make what was done with these partitions durable; return the offsets to commit."""
        if self._failed:
            return {}
        started_s = time.perf_counter()
        try:
            offsets = await self._settle_forwarded(tps) | await self._settle_judged(tps)
        except BaseException:
            # What was cut out of the live objects for this checkpoint is in none that follows.
            self.fail()
            raise
        if self._failed:
            return {}
        async with self._settled:
            self._settled.notify_all()
        if offsets:
            faults.reached("checkpoint-done")
            self._metrics.checkpoint_seconds.observe(time.perf_counter() - started_s)
            self._metrics.accounts_in_memory.set(self.live_accounts)
        return offsets

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Note that offsets were committed."""
        faults.reached("offsets-committed")
        now_s = time.monotonic()
        for tp in offsets:
            self._readiness.committed((tp.topic, tp.partition), now_s)
        self._metrics.committed_timestamp_seconds.set_to_current_time()

    async def _settle_forwarded(self, tps: set[TP]) -> dict[TP, int]:
        """Await what was forwarded before now; what comes meanwhile is for the next time."""
        offsets: dict[TP, int] = {}
        for tp in (tps & self._forwarded.keys()) - self._lost:
            book = self._forwarded[tp]
            for _ in range(len(book)):
                next_offset, pending = book[0]
                if not await self._acknowledged(tp, pending, self._forwarded):
                    break
                book.popleft()
                offsets[tp] = next_offset
                faults.reached("forwarded")
        return offsets

    async def settle_notices(self, tp: TP) -> None:
        """Apply what a judged partition owes, if all of it has been read; its lock is held."""
        shard = self._shards.get(tp)
        if shard is not None and shard.owes_notices and not shard.missing_notices:
            self._pending[tp].extend(await self._apply_notices(shard))

    async def _settle_judged(self, tps: set[TP]) -> dict[TP, int]:
        """Make durable each partition that has moved on."""
        due = (tps & self._shards.keys()) - self._lost
        settled = await asyncio.gather(*(self._settle(tp) for tp in due))
        return {tp: offset for offsets in settled for tp, offset in offsets.items()}

    async def _settle(self, tp: TP) -> dict[TP, int]:
        """Cut a partition, and write it once its decisions are out."""
        async with self._turn:
            await asyncio.sleep(0)
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._locks[tp])
            if self._failed:  # in the batch that held the lock: it may be half judged
                return {}
            shard = self._shards.get(tp)
            checkpoint = shard.begin_checkpoint() if shard is not None else None
            if shard is None:
                return {}
            if checkpoint is None:
                shard.make_room(self._accounts_max)  # others may have joined, to share it with
                return {}
            pending = self._pending.pop(tp, [])
            faults.reached("cut")
            if checkpoint.notices_due == checkpoint.reach[2] and not checkpoint.lifts:
                await held.aclose()  # requests are judged meanwhile
            if not await self._acknowledged(tp, pending, self._shards):
                return {}
            faults.reached("decisions-acknowledged")
            if not await self._write(tp, shard, checkpoint):
                return {}
            if checkpoint.lifts:  # nothing was decided meanwhile, as the lock is held
                self._pending[tp].extend(await self._publish_ends(shard.take_lifted()))
            # Not before the marker that promises them: what follows from them goes out now.
            await self.settle_notices(tp)
        resume = zip(self._logs, checkpoint.resume, strict=True)
        return {TP(topic, tp.partition): offset for topic, offset in resume if offset}

    async def _write(self, tp: TP, shard: Shard, checkpoint: Checkpoint) -> bool:
        """Write one partition's rows, then the marker that makes them count.

        Returns `False` if the partition is somebody else's: then there will be a rebalance.
        """
        offset = -1
        steps: tuple[tuple[list[Row], faults.Point], ...] = (
            (checkpoint.rows, "rows-logged"),
            ([checkpoint.marker], "marker-logged"),
        )
        for rows, point in steps:
            written = await self._log(tp, shard, rows)
            if written is None:
                if self._shards.get(tp) is shard:
                    self._lose(tp)
                return False
            offset = max(offset, written)
            faults.reached(point)
        if self._shards.get(tp) is not shard:
            return False  # the table may be a copy by now, of what somebody else has written since
        # The table comes last: it must never be ahead of the changelog that others recover from.
        rows = [*checkpoint.rows, checkpoint.marker]
        self._table.write(tp.partition, rows, changelog_offset=offset)
        faults.reached("table-written")
        self._metrics.rows_written.inc(len(rows))
        shard.end_checkpoint(checkpoint, self._accounts_max)
        return True

    async def _log(self, tp: TP, shard: Shard, rows: list[Row]) -> int | None:
        """Write rows to the changelog; return the last one's offset (-1 if there are none).

        Returns `None` if the partition is somebody else's.
        """
        topic = self._table.changelog_topic_name
        # A member again, perhaps, after a rebalance that has dealt the partition to somebody else.
        while await self._is_member() and self._shards.get(tp) is shard:
            try:
                sent = await asyncio.gather(
                    *await self._state_log.send_rows(topic, tp.partition, rows)
                )
            except SessionOverError:
                continue  # asks again, and is a member or is not
            return max((metadata.offset for metadata in sent), default=-1)
        return None
