"""Reading a whole topic without a group: from its beginning, or a time, to its end and on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.errors import OperatorError
from streams.kafka import CONNECT_TIMEOUT_S, client_arguments, running
from streams.settings import Kafka

#: While there is more to read a broker sends it within milliseconds; a leader's election takes
#: some ten seconds.
SILENCE_S_MAX = 20.0
#: How soon a reader notices that it has been cancelled, and looks at the time.
_POLL_MS = 1_000
#: Bounds what is held at once; a decision is 1–10 KB.
_POLL_RECORDS_MAX = 1_000


class Record(NamedTuple):
    """One message and where it stands."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    #: The message's own timestamp, Unix milliseconds; its producer's word, or the broker's where
    #: the topic is set to `LogAppendTime`. -1 is none.
    timestamp_ms: int = -1


class Log:
    """An open topic: read its `backlog` first, then `follow` it."""

    def __init__(self, consumer: Any, ends: dict[Any, int]) -> None:
        self._consumer = consumer
        self._ends = ends

    @property
    def partitions(self) -> list[int]:
        """The topic's partitions."""
        return [each.partition for each in self._ends]

    async def backlog(self) -> AsyncIterator[Record]:
        """Yield what stood in the topic when it was opened, in order within each partition.

        Raises
        ------
        OperatorError
            Nothing comes for `SILENCE_S_MAX`.
        """
        silent_s = 0.0
        while await self._set_finished_aside():
            records = await self._poll()
            silent_s = 0.0 if records else silent_s + _POLL_MS / 1000
            if silent_s >= SILENCE_S_MAX:
                raise OperatorError(
                    f"Kafka has sent nothing for {silent_s:g} s although there is more to read"
                )
            for record in records:
                yield record

    async def follow(self) -> AsyncIterator[Record]:
        """Yield what is added from then on, without end; waits for a broker that is away."""
        self._consumer.resume(*self._ends)
        while True:
            for record in await self._poll():
                yield record

    async def _set_finished_aside(self) -> bool:
        """Stop fetching partitions read to their end; say whether any are left."""
        left = False
        for partition, end in self._ends.items():
            if await self._consumer.position(partition) >= end:
                self._consumer.pause(partition)
            else:
                left = True
        return left

    async def _poll(self) -> list[Record]:
        batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS_MAX)
        return [
            Record(raw.topic, raw.partition, raw.offset, raw.key, raw.value, raw.timestamp)
            for batch in batches.values()
            for raw in batch
        ]


@asynccontextmanager
async def open_log(kafka: Kafka, topic: str, since_s: float | None = None) -> AsyncIterator[Log]:
    """Open a topic for reading, without joining a group and without creating anything.

    Parameters
    ----------
    kafka
        How to reach the brokers.
    topic
        Which one.
    since_s
        Begin with messages that carry this timestamp (Unix seconds) or a later one; `None`
        begins at the beginning.

    Raises
    ------
    OperatorError
        No broker answers, it refuses this client, there is no such topic, or reading fails.
    """
    arguments = client_arguments(kafka) | {"request_timeout_ms": int(CONNECT_TIMEOUT_S * 1_000)}
    try:
        async with running(AIOKafkaAdminClient(**arguments), kafka) as admin:
            partitions = await _partitions(admin, topic)
        consumer = AIOKafkaConsumer(
            **arguments, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        async with running(consumer, kafka):
            ends = await _seek(consumer, partitions, since_s)
            yield Log(consumer, ends)
    except KafkaError as error:
        raise OperatorError(f"reading {topic} from Kafka at {kafka.brokers}: {error}") from None


async def _partitions(admin: Any, topic: str) -> list[Any]:
    # Of all topics: asking for one by name creates it where brokers are set to do so.
    for found in await admin.describe_topics():
        if found["topic"] == topic:
            return [TopicPartition(topic, each["partition"]) for each in found["partitions"]]
    raise OperatorError(f"there is no topic {topic} yet; `pairwatch topics` creates it")


async def _seek(consumer: Any, partitions: list[Any], since_s: float | None) -> dict[Any, int]:
    """Take all partitions, go to where reading begins, and return where it ends."""
    consumer.assign(partitions)
    ends: dict[Any, int] = await consumer.end_offsets(partitions)
    begins: dict[Any, int] = await consumer.beginning_offsets(partitions)
    if since_s is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, int(since_s * 1_000)))
        begins = {p: at.offset if (at := found[p]) else ends[p] for p in partitions}
    for partition in partitions:
        consumer.seek(partition, begins[partition])
    return ends
