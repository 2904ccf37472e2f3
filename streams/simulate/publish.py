"""Sending simulated traffic to Kafka, in order and no faster than asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.request import Request
from streams.errors import OperatorError
from streams.kafka import CONNECT_TIMEOUT_S, client_arguments, running
from streams.settings import Settings

#: Messages on their way at a time, and the longest wait for their acknowledgement.
_BATCH = 1_000
_ACKNOWLEDGE_TIMEOUT_S = 60.0


async def publish(
    events: Iterable[Request],
    settings: Settings,
    rate: float | None,
    *,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Send events to `topics.requests`, keyed by request id; return how many.

    Parameters
    ----------
    events
        In the order in which they are sent.
    settings
        Brokers and topic.
    rate
        Events a second at most; `None` is as fast as the broker takes them.
    now_s, sleep
        The clock that the rate is kept by.

    Raises
    ------
    OperatorError
        The broker can't be reached or does not take the events.
    """
    topic = settings.topics.requests
    producer = AIOKafkaProducer(
        **client_arguments(settings.kafka),
        linger_ms=5,
        max_batch_size=262_144,
        request_timeout_ms=round(_ACKNOWLEDGE_TIMEOUT_S * 1000),
    )
    async with running(producer, settings.kafka):
        await _find(topic, producer, settings)
        try:
            return await _send_all(producer, topic, _paced(events, rate, now_s, sleep))
        except (KafkaError, TimeoutError) as error:
            raise OperatorError(
                f"{topic} at {settings.kafka.brokers} takes no events: {error!r}"
            ) from None


async def _find(topic: str, producer: AIOKafkaProducer, settings: Settings) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await producer.partitions_for(topic)
    except (KafkaError, TimeoutError):
        raise OperatorError(
            f"{settings.kafka.brokers} has no topic {topic}: create it with `pairwatch topics`"
        ) from None


async def _paced(
    events: Iterable[Request],
    rate: float | None,
    now_s: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[list[Request]]:
    """Hand on the events in batches: with a rate, a tenth of a second's worth at a time."""
    begin_s, count, events = now_s(), 0, iter(events)
    size = _BATCH if rate is None else max(1, min(_BATCH, round(rate / 10)))
    while batch := list(islice(events, size)):
        count += len(batch)
        if rate is not None:
            await sleep(max(0.0, begin_s + count / rate - now_s()))
        yield batch


async def _send_all(
    producer: AIOKafkaProducer, topic: str, batches: AsyncIterator[list[Request]]
) -> int:
    encode = msgspec.json.Encoder().encode
    count = 0
    async for batch in batches:
        sent = [
            await producer.send(topic, encode(event), key=event.request_id.encode())
            for event in batch
        ]
        async with asyncio.timeout(_ACKNOWLEDGE_TIMEOUT_S):
            await asyncio.gather(*sent)
        count += len(batch)
    return count
