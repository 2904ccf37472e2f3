"""The agents: where an event enters and where it is handed to be judged."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from operator import attrgetter
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from models.link_activity import LinkActivity
from models.observation import Observation
from models.profile_state import StateError, StateVersionError
from models.request import Request
from streams.app import App
from streams.checkpoint import Pending
from streams.codec import InvalidRequest, decode_request, decode_requests
from streams.errors import OperatorError
from streams.lanes import Lanes
from streams.marker import NEWER_STATE_REMEDY
from streams.notices import (
    heed,
    settle_owed,
    take_orders,
    tell_members,
    tell_others,
    wait_for_others,
)
from streams.outbox import Row
from streams.publish import arrived_s, publish, publish_ends, set_aside, set_aside_telling
from streams.rows import UNREADABLE_STATE_REMEDY
from streams.shard import Shard
from streams.transport import Batch

log = logging.getLogger("pairwatch")

Handler = Callable[[App, TP, list[Any]], Awaitable[None]]

#: What accounts that share a link do is judged over hours: that it be told of a moment later costs
#: nothing, and what leaves together costs half. A checkpoint waits for it.
_LINKS_LINGER_S = 0.1
_OFFSET, _TIMESTAMP, _VALUE = attrgetter("offset"), attrgetter("timestamp"), attrgetter("value")


def attach(app: App) -> None:
    """Give the application its agents."""
    topics = app.settings.topics
    _agent(app, topics.accounts_source, judge, app.lanes)
    _agent(app, topics.link_activity, judge_links, app.lanes)
    _agent(app, topics.notices, heed)
    _agent(app, topics.control, take_orders)
    if not topics.keyed_by_account:
        _agent(app, topics.requests, forward)


def _agent(app: App, topic: str, handle: Handler, lanes: Lanes | None = None) -> None:
    """Feed a topic's batches to a handler: one after the other, or those of each partition."""

    async def run(stream: Any) -> AsyncIterator[None]:
        async for event in stream.events():
            for batch in event.value:
                if lanes is not None:
                    lanes.put(batch.tp, partial(_handle, app, batch, handle))
                # What a rebalance overtakes in between is read again.
                elif event.message.generation_id == app.consumer_generation_id:
                    await _handle(app, batch, handle)
            yield

    source = app.topic(
        topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )
    app.agent(source, name=handle.__name__)(run)


async def _handle(app: App, batch: Batch, handle: Handler) -> None:
    """Handle one batch; what goes wrong stops the worker before anything is committed for it."""
    tp = batch.tp
    if app.crashed or not app.is_at_work:
        # The state may be half of a batch ahead; or it is not all there yet, and the batch is
        # read again as soon as it is.
        return
    where = f"{tp.topic}[{tp.partition}] offsets {batch.records[0].offset}–{batch.offset}"
    try:
        if records := app.checkpointer.take(batch):
            await handle(app, tp, records)
    except OperatorError as error:
        app.fail(error)
    except StateVersionError as error:
        app.fail(OperatorError(f"{error}: {NEWER_STATE_REMEDY}"))
    except StateError as error:
        app.fail(OperatorError(f"the state of an account, {error}: {UNREADABLE_STATE_REMEDY}"))
    except (KafkaError, TimeoutError) as error:
        log.critical("%s: Kafka did not take what came of them: %r", where, error)
        app.fail(error)
    except Exception as error:
        log.critical(
            "%s: %s failed; nothing was committed for them. This is a bug in pairwatch: the "
            "events are judged again once it is mended",
            where,
            handle.__name__,
            exc_info=error,
        )
        app.fail(error)


async def forward(app: App, tp: TP, records: list[Any]) -> None:
    """Pass requests on to the topic in which all of an account's meet in one partition."""
    now_s = time.time()
    requests, taken, pending = await _read(app, tp, records, now_s)
    rows = [
        # The time of arrival goes along: latency and clock checks are measured against it.
        Row(request.account_id.encode(), record.value, int(arrived_s(record, now_s) * 1_000))
        for request, record in zip(requests, taken, strict=True)
    ]
    pending += await app.outbox.send_together(app.settings.topics.requests_by_account, rows)
    await app.checkpointer.forwarded(tp, records[-1].offset + 1, pending)


async def judge(app: App, tp: TP, records: list[Any]) -> None:
    """Judge requests, and send what is decided."""
    shard = app.shard(tp)
    fresh = records
    if records[0].offset < shard.offset:
        fresh = [record for record in records if record.offset >= shard.offset]
    app.metrics.events.labels("skipped").inc(len(records) - len(fresh))
    now_s = time.time()
    requests, taken, refused = await _read(app, tp, fresh, now_s)
    await app.checkpointer.sent(tp, refused)
    offsets = [*map(_OFFSET, taken), records[-1].offset + 1]
    shard.is_busy = True
    at = 0
    lacking: list[int] = []
    while at < len(requests) or shard.offset < offsets[-1]:
        if lacking:
            await app.checkpointer.sent(tp, await wait_for_others(app, tp, shard, lacking))
        await settle_owed(app, tp)
        await app.checkpointer.wait_for_room(tp)
        async with app.checkpointer.working(tp):
            if app.checkpointer.shard(tp) is not shard:
                return  # the partition is somebody else's
            await app.checkpointer.settle_notices(tp)
            shard.arrived.clear()
            seen = shard.judge(requests[at:], offsets[at:-1], offsets[-1])
            at, lacking = at + seen.taken, seen.lacking
            await app.checkpointer.sent(tp, await _send(app, shard, seen, fresh, now_s))
        app.metrics.count_judged(seen)
    shard.is_busy = False
    if app.homes is not None:
        app.metrics.misrouted_events.inc(app.homes.misrouted(requests, tp.partition))


async def _read(
    app: App, tp: TP, records: list[Any], now_s: float
) -> tuple[list[Request], list[Any], list[Pending]]:
    """Return the requests among some records, their records, and what was sent about the rest."""
    if not app.skipped:
        earliest_s = min(map(_TIMESTAMP, records), default=0) / 1_000
        values = [value or b"" for value in map(_VALUE, records)]
        if (usual := decode_requests(values, min(earliest_s, now_s))) is not None:
            return usual, records, []
    requests: list[Request] = []
    taken: list[Any] = []
    refused: list[Pending] = []
    for record in records:
        at_s = arrived_s(record, now_s)
        try:
            app.refuse_skipped(tp, record.offset)
            requests.append(decode_request(record.value or b"", at_s))
        except InvalidRequest as error:
            refused.append(await _set_aside(app, tp, record, at_s, error))
        else:
            taken.append(record)
    return requests, taken, refused


async def _send(
    app: App, shard: Shard, seen: Observation, records: list[Any], now_s: float
) -> list[Pending]:
    """Send what came of some records: decisions, ends of decisions, and what was learned."""
    pending: list[Pending] = []
    for decision in seen.decisions:
        at = bisect_left(records, decision.evidence.source.offset, key=_OFFSET)
        pending += await publish(app, decision, arrived_s(records[at], now_s))
    pending += await publish_ends(app, shard.expire())
    pending += await _tell_links(app, seen.activities)
    return pending + await tell_others(app, seen.digests)


async def _tell_links(app: App, activities: list[LinkActivity]) -> list[Pending]:
    """Tell those who watch links what accounts have chosen."""
    app.metrics.link_activities.inc(len(activities))
    rows = [Row(activity.link.encode(), activity.to_bytes()) for activity in activities]
    return await app.outbox.send_together(
        app.settings.topics.link_activity, rows, linger_s=_LINKS_LINGER_S
    )


async def judge_links(app: App, tp: TP, records: list[Any]) -> None:
    """Judge what accounts that share a link have done, and tell their partitions."""
    judged = TP(app.settings.topics.accounts_source, tp.partition)
    activities: list[LinkActivity] = []
    offsets: list[int] = []
    pending: list[Pending] = []
    shard = app.shard(judged)
    for record in records:
        if record.offset < shard.activity:
            continue
        try:
            app.refuse_skipped(tp, record.offset)
            activities.append(LinkActivity.from_bytes(record.value or b""))
        except ValueError as error:
            pending.append(await set_aside_telling(app, tp, record, error, "wrong-type"))
        else:
            offsets.append(record.offset)
    await settle_owed(app, judged)
    await app.checkpointer.wait_for_room(judged)
    async with app.checkpointer.working(judged):
        if app.checkpointer.shard(judged) is not shard:
            return  # the partition is somebody else's
        await app.checkpointer.settle_notices(judged)
        found = shard.judge_links(activities, offsets, records[-1].offset + 1)
        for review in found.reviews:
            pending += await publish(app, review, time.time())
        pending += await tell_members(app, found.verdicts)
        await app.checkpointer.sent(judged, pending)


async def _set_aside(app: App, tp: TP, record: Any, at_s: float, error: InvalidRequest) -> Pending:
    """Send a record that is no request to the dead letters."""
    app.metrics.events.labels("dead-letter").inc()
    app.readiness.dead_letters(1, time.monotonic())
    return await set_aside(app, tp, record, at_s, error.reason, error.detail)
