"""What leaves because of a record: decisions for those who enforce, dead letters for people."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec
from faust.types import TP

from models.decision import Decision
from streams.app import App
from streams.checkpoint import Pending
from streams.codec import DETAIL_CHARS_MAX, InvalidRequest
from streams.dead_letters import DeadLetter, KafkaSource


def arrived_s(record: Any, now_s: float) -> float:
    """Return when a record reached Kafka, Unix seconds.

    That is its producer's word: without one it is now, and it is never later than now. Brokers
    refuse to take a request that is forwarded with a time far ahead, which would end every
    worker that comes upon it.
    """
    stamped_s: float = record.timestamp / 1_000
    return now_s if stamped_s < 0 or stamped_s > now_s else stamped_s


async def set_aside(
    app: App, tp: TP, record: Any, at_s: float, reason: str, detail: str
) -> Pending:
    """Send a record that was not taken to the dead letters."""
    letter = DeadLetter(
        reason=reason,
        detail=detail,
        source=KafkaSource(tp.topic, tp.partition, record.offset),
        at_s=at_s,
        original=record.value or b"",
    )
    app.metrics.dead_letters.labels(letter.reason).inc()
    topic = app.settings.topics.dead_letters
    return await app.outbox.send(topic, letter.key, letter.encode())


async def set_aside_telling(
    app: App, tp: TP, record: Any, error: ValueError, reason: str
) -> Pending:
    """Send a record to the dead letters for an error, which may know the reason better."""
    at_s = arrived_s(record, time.time())
    if isinstance(error, InvalidRequest):
        return await set_aside(app, tp, record, at_s, error.reason, error.detail)
    return await set_aside(app, tp, record, at_s, reason, str(error)[:DETAIL_CHARS_MAX])


async def publish_ends(app: App, keys: Iterable[str]) -> list[Pending]:
    """Tell the state topic of subjects to which nothing applies any more."""
    topic = app.settings.topics.decisions_state
    return [await app.outbox.send(topic, key.encode(), None) for key in keys]


async def publish(app: App, decision: Decision, at_s: float) -> list[Pending]:
    """Send a decision to the log and to the state topic.

    Parameters
    ----------
    app
        The worker.
    decision
        What was decided.
    at_s
        When its cause reached Kafka, Unix seconds.
    """
    topics, key, value = app.settings.topics, decision.key.encode(), msgspec.json.encode(decision)
    log = await app.outbox.send(topics.decisions, key, value)
    # A release too, as it has a revision: what a worker that was killed says once more does not
    # count after it. Its tombstone follows once nobody can repeat what was lifted.
    state = await app.outbox.send(topics.decisions_state, key, value)

    def acknowledged(sent: Pending) -> None:
        if not sent.cancelled() and sent.exception() is None:
            app.metrics.count_decision(decision, seconds=time.time() - at_s)

    log.add_done_callback(acknowledged)
    return [log, state]
