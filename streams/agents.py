"""The agents: where an event enters and where it is handed to be judged."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from operator import attrgetter
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from faust.types import TP

from models.decision import Decision
from models.profile import StateVersionError
from models.request import Request
from streams.app import App
from streams.checkpoint import Pending
from streams.codec import InvalidRequest, decode_request
from streams.dead_letters import DeadLetter, KafkaSource
from streams.errors import OperatorError
from streams.outbox import Row, partition_of
from streams.shard import NEWER_STATE_REMEDY
from streams.transport import Batch

log = logging.getLogger("pairwatch")

Handler = Callable[[App, TP, list[Any]], Awaitable[None]]


def attach(app: App) -> None:
    """Give the application its agents."""
    topics = app.settings.topics
    _agent(app, topics.accounts_source, judge)
    if not topics.keyed_by_account:
        _agent(app, topics.requests, forward)


def _agent(app: App, topic: str, handle: Handler) -> None:
    """Feed a topic's batches to a handler, one after the other."""

    async def run(stream: Any) -> AsyncIterator[None]:
        async for event in stream.events():
            await _handle(app, event.message.tp, event.value, handle)
            yield

    source = app.topic(
        topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )
    app.agent(source, name=handle.__name__)(run)


async def _handle(app: App, tp: TP, batch: Batch, handle: Handler) -> None:
    """Handle one batch; what goes wrong stops the worker before anything is committed for it."""
    if app.crashed or app.in_recovery:
        # The state may be half of a batch ahead; or it is not all there yet, and the batch is
        # read again as soon as it is.
        return
    where = f"{tp.topic}[{tp.partition}] offsets {batch.records[0].offset}–{batch.offset}"
    try:
        if records := app.checkpointer.take(tp, batch):
            await handle(app, tp, records)
    except OperatorError as error:
        app.fail(error)
    except StateVersionError as error:
        app.fail(OperatorError(f"{error}: {NEWER_STATE_REMEDY}"))
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
    topic = app.settings.topics.requests_by_account
    partitions = await app.outbox.partitions(topic)
    rows: dict[int, list[Row]] = defaultdict(list)
    pending: list[Pending] = []
    now_s = time.time()
    for record in records:
        arrived_s = _arrived_s(record, now_s)
        try:
            request = decode_request(record.value or b"", arrived_s)
        except InvalidRequest as error:
            pending.append(await _set_aside(app, tp, record, arrived_s, error))
            continue
        key = request.account_id.encode()
        # The time of arrival goes along: latency and clock checks are measured against it.
        row = Row(key, record.value, int(arrived_s * 1_000))
        rows[partition_of(key, partitions)].append(row)
    for partition, some in rows.items():
        pending += await app.outbox.send_rows(topic, partition, some)
    await app.checkpointer.forwarded(tp, records[-1].offset + 1, pending)


async def judge(app: App, tp: TP, records: list[Any]) -> None:
    """Judge requests, and send what is decided."""
    requests: list[Request] = []
    offsets: list[int] = []
    pending: list[Pending] = []
    async with app.checkpointer.working(tp):
        shard = app.shard(tp)
        fresh = [record for record in records if record.offset >= shard.offset]
        now_s = time.time()
        for record in fresh:
            arrived_s = _arrived_s(record, now_s)
            try:
                requests.append(decode_request(record.value or b"", arrived_s))
            except InvalidRequest as error:
                pending.append(await _set_aside(app, tp, record, arrived_s, error))
            else:
                offsets.append(record.offset)
        seen = shard.detector.observe(requests, offsets)
        shard.offset = max(shard.offset, records[-1].offset + 1)
        shard.watermark_s = max([shard.watermark_s, *(request.ts for request in requests)])
        for decision in seen.decisions:
            at = bisect_left(fresh, decision.evidence.source.offset, key=attrgetter("offset"))
            shard.note(decision)
            pending += await _publish(app, decision, _arrived_s(fresh[at], now_s))
        for key in shard.expire():
            topic = app.settings.topics.decisions_state
            pending.append(await app.outbox.send(topic, key.encode(), None))
        await app.checkpointer.sent(tp, pending)
    if app.homes is not None:
        app.metrics.misrouted_events.inc(app.homes.misrouted(requests, tp.partition))
    counts = {"judged": seen.judged, "duplicate": seen.duplicate, "late": seen.late}
    counts["skipped"] = len(records) - len(fresh)
    for outcome, count in counts.items():
        app.metrics.events.labels(outcome).inc(count)


def _arrived_s(record: Any, now_s: float) -> float:
    """Return when a record reached Kafka, Unix seconds.

    That is its producer's word: without one it is now, and it is never later than now. Brokers
    refuse to take a request that is forwarded with a time far ahead, which would end every
    worker that comes upon it.
    """
    stamped_s: float = record.timestamp / 1_000
    return now_s if stamped_s < 0 or stamped_s > now_s else stamped_s


async def _set_aside(
    app: App, tp: TP, record: Any, arrived_s: float, error: InvalidRequest
) -> Pending:
    """Send a record that is no request to the dead letters."""
    letter = DeadLetter(
        reason=error.reason,
        detail=error.detail,
        source=KafkaSource(tp.topic, tp.partition, record.offset),
        at_s=arrived_s,
        original=record.value or b"",
    )
    app.metrics.events.labels("dead-letter").inc()
    app.metrics.dead_letters.labels(letter.reason).inc()
    app.readiness.dead_letters(1, time.monotonic())
    topic = app.settings.topics.dead_letters
    return await app.outbox.send(topic, letter.key, letter.encode())


async def _publish(app: App, decision: Decision, arrived_s: float) -> list[Pending]:
    """Send a decision to the log and to the state topic."""
    topics, key, value = app.settings.topics, decision.key.encode(), msgspec.json.encode(decision)
    log = await app.outbox.send(topics.decisions, key, value)
    in_force = None if decision.action == "release" else value
    state = await app.outbox.send(topics.decisions_state, key, in_force)

    def acknowledged(sent: Pending) -> None:
        if not sent.cancelled() and sent.exception() is None:
            app.metrics.count_decision(
                decision.action,
                decision.scenario,
                simulated=decision.simulated,
                seconds=time.time() - arrived_s,
            )

    log.add_done_callback(acknowledged)
    return [log, state]
