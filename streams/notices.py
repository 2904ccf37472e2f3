"""What partitions are told beside their requests: how it is checked, passed on and applied.

The topic of notices has a partition for each partition of accounts. In it stand the words of
operators, copied to every partition, the verdicts of groups on their members, and what the other
partitions have learned.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from typing import Any

import msgspec
from faust.types import TP

from models.exchange import EPOCH_S, Digest
from models.notices import Control, Notice, Verdict
from streams.app import App
from streams.checkpoint import Pending
from streams.codec import TS_AHEAD_MAX_S, InvalidRequest
from streams.consume import open_log
from streams.control import messages
from streams.control.messages import RefusedControl
from streams.control.verifier import Verifier
from streams.errors import OperatorError
from streams.notice_queue import NOTICES_WAITING_MAX
from streams.outbox import Row
from streams.partitions import partition_of
from streams.publish import arrived_s, publish, set_aside, set_aside_telling
from streams.shard import Shard

#: A digest begins with a byte that no JSON begins with, and says who learned it up to when.
_DIGEST = struct.Struct(">cIq?")
_DIGEST_MARK = b"\x00"
#: Notices that a checkpoint promised stand in Kafka already: a minute is a broker that is away.
_OWED_TIMEOUT_S = 60.0

#: A partition whose worker was killed is back sooner, and then it catches up.
_OTHERS_TIMEOUT_S = 300.0
#: A partition to which nothing was added for so long has nothing to tell.
_IDLE_S = 5.0

log = logging.getLogger("pairwatch")

_decode = msgspec.json.Decoder(Notice).decode


async def take_orders(app: App, tp: TP, records: list[Any]) -> None:
    """Check what operators say, and pass on to every partition what counts."""
    verifier = await _verifier(app, tp.topic, records[0].offset)
    topic = app.settings.topics.notices
    pending: list[Pending] = []
    for record in records:
        at_s = arrived_s(record, time.time())
        kind = "unknown"
        try:
            app.refuse_skipped(tp, record.offset)
            message = messages.decode(record.value or b"")
            kind = _kind(message)
            outcome = str(verifier.check(message, record.timestamp / 1_000))
        except (RefusedControl, InvalidRequest) as error:
            pending.append(await set_aside(app, tp, record, at_s, error.reason, error.detail))
            outcome = "refused"
        else:
            if outcome == "accepted":
                row = Row(message.id.encode(), messages.encode(message))
                for partition in range(await app.outbox.partitions(topic)):
                    pending += await app.outbox.send_rows(topic, partition, [row])
        app.metrics.control_messages.labels(kind, outcome).inc()
    await app.checkpointer.forwarded(tp, records[-1].offset + 1, pending)


async def _verifier(app: App, topic: str, first: int) -> Verifier:
    """Return the worker's verifier, which has read what stands before the offset `first`.

    From the beginning: it is little, and whoever writes a record may say when that was.
    """
    if app.verifier is None:
        verifier = Verifier(app.settings.control)
        async with open_log(app.settings.kafka, topic) as log:
            async for record in log.backlog():
                if record.offset >= first:
                    break
                try:
                    verifier.check(messages.decode(record.value or b""), record.timestamp_ms / 1000)
                except RefusedControl:
                    continue  # counted when it came
        app.verifier = verifier
    return app.verifier


async def heed(app: App, tp: TP, records: list[Any]) -> None:
    """Keep notices until the next cut, and apply at once what the last one promised."""
    judged = TP(app.settings.topics.accounts_source, tp.partition)
    notices: list[tuple[int, Notice | Digest]] = []
    pending: list[Pending] = []
    for record in records:
        try:
            app.refuse_skipped(tp, record.offset)
            notice = _read(record.value or b"")
            if isinstance(notice, Digest):
                _check(notice, app.settings.topics.partitions, arrived_s(record, time.time()))
            notices.append((record.offset, notice))
        except ValueError as error:
            pending.append(await set_aside_telling(app, tp, record, error, "bad-json"))
    async with app.checkpointer.working(judged):
        shard = app.shard(judged)
        shard.receive(notices, records[-1].offset + 1)
        await app.checkpointer.sent(judged, pending)
        await app.checkpointer.settle_notices(judged)
    await app.checkpointer.wait_until(judged, lambda shard: shard.waiting < NOTICES_WAITING_MAX)


async def settle_owed(app: App, tp: TP) -> None:
    """Wait for the notices that a partition must be told before its next request.

    Raises
    ------
    OperatorError
        They don't come.
    """
    shard = app.shard(tp)
    while app.checkpointer.shard(tp) is shard and (missing := shard.missing_notices):
        shard.arrived.clear()
        try:
            async with asyncio.timeout(_OWED_TIMEOUT_S):
                await shard.arrived.wait()
        except TimeoutError:
            raise OperatorError(
                f"{missing} must be applied before {tp.topic}[{tp.partition}] goes on, and did "
                f"not come within {_OWED_TIMEOUT_S:g} s; was the topic made anew?"
            ) from None


async def apply_notices(app: App, shard: Shard) -> list[Pending]:
    """Apply the notices that a partition owes, and send what follows."""
    pending: list[Pending] = []
    before, decisions = shard.applied, shard.apply_notices()
    app.metrics.notices_applied.inc(shard.applied - before)
    for decision in decisions:
        pending += await publish(app, decision, time.time())
    return pending


async def tell_members(app: App, verdicts: list[Verdict]) -> list[Pending]:
    """Tell the partitions of a group's members what was found."""
    topics = app.settings.topics
    pending: list[Pending] = []
    for verdict in verdicts:
        home = partition_of(verdict.account_id.encode(), topics.partitions)
        row = Row(verdict.id.encode(), msgspec.json.encode(verdict))
        pending += await app.outbox.send_rows(topics.notices, home, [row])
    return pending


async def tell_others(app: App, digests: list[Digest]) -> list[Pending]:
    """Tell the other partitions what one has learned."""
    topic = app.settings.topics.notices
    pending: list[Pending] = []
    for digest in digests:
        row = _row(digest)
        for other in range(app.settings.topics.partitions):
            if other != digest.partition:
                pending += await app.outbox.send_rows(topic, other, [row])
    return pending


def _row(digest: Digest) -> Row:
    told = _DIGEST.pack(_DIGEST_MARK, digest.partition, digest.through, digest.idle)
    return Row(b"digest", told + digest.learned)


async def wait_for_others(app: App, tp: TP, shard: Shard, lacking: list[int]) -> list[Pending]:
    """Wait until other partitions have told something since `shard.arrived` was cleared.

    Not for ever: then the partition is told, by a notice, to go on without them.
    """
    try:
        async with asyncio.timeout(_OTHERS_TIMEOUT_S):
            await shard.arrived.wait()
    except TimeoutError:
        log.warning(
            "%s[%d] waits no longer for partitions %s, which are hours behind and have told "
            "nothing for %g s: until they do it knows less of what people read",
            tp.topic,
            tp.partition,
            ", ".join(map(str, lacking)),
            _OTHERS_TIMEOUT_S,
        )
        shard.arrived.clear()
        rows = [_row(Digest(other, 0, b"", idle=True)) for other in lacking]
        return await app.outbox.send_rows(app.settings.topics.notices, tp.partition, rows)
    return []


async def tell_when_idle(app: App) -> None:
    """Tell the others of partitions whose log has come to an end, as long as the worker runs."""
    while not app.should_stop:
        await asyncio.sleep(_IDLE_S / 2)
        if app.crashed or not app.is_at_work:
            continue
        for tp in app.assignment_of_accounts():
            shard = app.shard(tp)
            if shard.falls_idle(app.log_end(tp), time.monotonic(), _IDLE_S):
                await tell_others(app, [shard.detector.exchange.tell_idle()])


def _read(value: bytes) -> Notice | Digest:
    """Decode a notice.

    Raises
    ------
    ValueError
        It is none.
    """
    if not value.startswith(_DIGEST_MARK):
        try:
            notice: Notice = _decode(value)
        except RecursionError:
            raise ValueError("more nested than any notice") from None
        return notice
    if len(value) < _DIGEST.size:
        raise ValueError(f"a digest of {len(value)} bytes")
    _, partition, through, idle = _DIGEST.unpack_from(value)
    return Digest(partition, through, value[_DIGEST.size :], idle)


def _check(digest: Digest, partitions: int, at_s: float) -> None:
    """Refuse what no partition can have learned: it would be kept, and waited for, for ever.

    Raises
    ------
    ValueError
        Of a partition that there is none of, or from a time that no request may come from.
    """
    if digest.partition >= partitions:
        raise ValueError(f"a digest of partition {digest.partition}; there are {partitions}")
    # Requests may be ahead of those who wrote them, and workers' clocks of each other.
    if digest.through * EPOCH_S > at_s + 2 * TS_AHEAD_MAX_S:
        raise ValueError(f"a digest of the future, hour {digest.through} since 1970")


def _kind(message: Control) -> str:
    return str(type(message).__struct_config__.tag)
