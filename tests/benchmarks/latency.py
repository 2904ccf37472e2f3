"""How long a decision takes, from its request's way into Kafka, while a flood goes on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from statistics import quantiles
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.request import Request
from streams.outbox import Row, send_rows
from streams.partitions import partition_of
from tests.benchmarks.events import events
from tests.benchmarks.preload import PARTITIONS
from tests.benchmarks.subjects import Bench, worker

#: Between what is sent: half of it is added to each latency on average, by none it is hidden.
_TICK_S = 0.02
_LASTS_S = 60.0
#: Joining the group, and a first checkpoint.
_WARM_S = 20.0
_TOPIC = "bench.live"
#: Of all requests, those of one account that floods, and those of accounts of which every second
#: one goes from nothing to this many requests at once: each of them is decided about.
_FLOOD_SHARE, _BURST = 0.33, 400
#: Events of people that are made before, and come again and again.
_PEOPLES_EVENTS = 200_000


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from handing a request to the producer to reading its decision."""

    events_per_s: float
    decisions: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    behind_max: int


def latency(bench: Bench, rate: float) -> Latency:
    """Measure decisions' latency while so many events a second come in."""
    asyncio.run(_create(bench))
    with worker(bench, keyed=True, requests=_TOPIC) as (_, settings):
        return asyncio.run(_measure(bench, settings.topics.decisions, rate))


async def _create(bench: Bench) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(_TOPIC, PARTITIONS, 1)])
    finally:
        await admin.close()


async def _measure(bench: Bench, topic: str, rate: float) -> Latency:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bench.bootstrap, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bench.bootstrap)
    await consumer.start()
    await producer.start()
    sent_s: dict[str, float] = {}
    waits_s: list[float] = []
    reading = asyncio.create_task(_read(consumer, sent_s, waits_s))
    try:
        behind = await _send(producer, rate, sent_s)
        await asyncio.sleep(2.0)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await producer.stop()
        await consumer.stop()
    cuts = quantiles(waits_s, n=100, method="inclusive")
    return Latency(rate, len(waits_s), cuts[49] * 1e3, cuts[98] * 1e3, max(waits_s) * 1e3, behind)


async def _read(consumer: AIOKafkaConsumer, sent_s: dict[str, float], waits_s: list[float]) -> None:
    async for record in consumer:
        now_s = time.time()
        decision = msgspec.json.decode(record.value)
        samples = decision["evidence"]["sample_request_ids"]
        # The last sample is the request that tipped the balance, unless a group's verdict did.
        is_own = decision["evidence"]["source"]["topic"] == _TOPIC
        if is_own and samples and samples[-1] in sent_s:
            waits_s.append(now_s - sent_s[samples[-1]])


class _Later(NamedTuple):
    """An event that is ready but for its time and id: whoever sends many has no time to make them.

    `rest` is its JSON from the account's id on.
    """

    partition: int
    key: bytes
    rest: bytes

    def row(self, now_s: float, request_id: str) -> Row:
        """Return it as a message that is sent now."""
        value = b'{"ts":%.6f,"request_id":"%b"%b' % (now_s, request_id.encode(), self.rest)
        return Row(self.key, value, int(now_s * 1_000))


def _later(account_id: str, value: bytes) -> _Later:
    key = account_id.encode()
    return _Later(partition_of(key, PARTITIONS), key, value[value.index(b',"account_id"') :])


def _view(account_id: str, number: int) -> _Later:
    request = Request(0.0, "", account_id, "view", pair_ids=[f"pair_{number % 200_000:07d}"])
    return _later(account_id, msgspec.json.encode(request))


async def _send(producer: AIOKafkaProducer, rate: float, sent_s: dict[str, float]) -> int:
    """Send for a minute after the warm-up; return by how many events it fell behind at most."""
    people = itertools.cycle([_later(*event) for event in events(_PEOPLES_EVENTS)])
    began_s, made, behind = time.monotonic(), 0, 0
    bursts = itertools.count()
    left, burst = 0, 0
    while (elapsed_s := time.monotonic() - began_s) < _WARM_S + _LASTS_S:
        due = int(rate * elapsed_s) - made
        behind = max(behind, due) if elapsed_s > _WARM_S else 0
        rows: dict[int, list[Row]] = defaultdict(list)
        now_s = time.time()
        warm = elapsed_s > _WARM_S
        if warm and int(elapsed_s) > burst:
            burst, left, name = int(elapsed_s), _BURST, f"burst-{next(bursts)}"
        for n in range(due):
            event, request_id = next(people), f"live-{made + n}"
            if left:
                left -= 1
                event = _view(name, made + n)
            elif warm and n < _FLOOD_SHARE * due:
                event = _view("flood", made + n)
            if warm:
                sent_s[request_id] = now_s
            rows[event.partition].append(event.row(now_s, request_id))
        made += due
        sent = [
            one
            for partition, some in rows.items()
            for one in await send_rows(producer, _TOPIC, partition, some)
        ]
        await asyncio.gather(*sent)
        await asyncio.sleep(_TICK_S)
    return behind
