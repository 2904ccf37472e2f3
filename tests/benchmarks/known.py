"""Many known accounts: how long they take to come back, and what they cost beside few."""

from __future__ import annotations

import asyncio
import math
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import replace
from itertools import cycle, islice

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.request import Request
from models.signals import DAY_S
from streams.codec import decode_request
from streams.outbox import Row, send_rows
from streams.partitions import partition_of
from streams.settings import Settings
from streams.shard import Shard
from streams.topic_plan import changelog_topic
from streams.topics import create
from tests.benchmarks.events import events
from tests.benchmarks.measure import Measurement, SubjectError, cpu_seconds
from tests.benchmarks.preload import PARTITIONS
from tests.benchmarks.subjects import Bench, measure_worker, settings_for, started, watch

#: Accounts that are active among all that are known, and what they send.
ACTIVE, _EVENTS = 200_000, 1_000_000
_TOPIC = "bench.many"
#: Requests of the accounts whose state all known ones are given in turn: of the most active ones
#: so many that what is next to each other on disk or in a packet has nothing in common.
_SAMPLE, _PROFILES = 20_000, 100
_READY_TIMEOUT_S, _POLL_S = 600.0, 0.2
_CHUNK = 100_000
#: A process is at rest that uses less than this part of a core for so long.
_REST_SHARE, _REST_S = 0.05, 2.0
_ARRIVED_S = 4e9


class Known(msgspec.Struct, frozen=True):
    """What so many known accounts cost.

    `account_bytes` are those of one account's profile and choices, on average; each has two rows.
    Seconds are from the start of the process to `/ready`.
    """

    accounts: int
    active: int
    account_bytes: int
    from_changelog_s: float
    from_disk_s: float
    many: Measurement
    few: Measurement


def known(bench: Bench, accounts: int) -> Known:
    """Start a worker from a full changelog, then from its own disk, and let it judge."""
    settings = settings_for(bench, keyed=True, requests=_TOPIC)
    keyed = requests_of_many()
    size = asyncio.run(fill(bench, settings, keyed, accounts))
    with started(bench, settings) as process:
        from_changelog_s = wait_until_ready(process, settings)
        wait_until_at_rest(process.pid)
    asyncio.run(_send_events(bench, keyed))
    with started(bench, settings) as process:
        from_disk_s = wait_until_ready(process, settings)
        many = asyncio.run(
            watch(replace(bench, events=_EVENTS), settings.kafka.group, _TOPIC, process)
        )
    few = measure_worker(bench, keyed=True)
    return Known(accounts, ACTIVE, size, from_changelog_s, from_disk_s, many, few)


def requests_of_many() -> dict[int, list[Row]]:
    """Return what the active ones send, by partition."""
    keyed: dict[int, list[Row]] = defaultdict(list)
    for event in events(_EVENTS, accounts=ACTIVE):
        key = event.account_id.encode()
        keyed[partition_of(key, PARTITIONS)].append(Row(key, event.value))
    return keyed


def wait_until_ready(process: subprocess.Popen[bytes], settings: Settings) -> float:
    """Wait until a worker's `/ready` says so; return after how many seconds."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < _READY_TIMEOUT_S:
        try:
            with urllib.request.urlopen(f"http://{settings.metrics.listen}/ready", timeout=5):
                return time.monotonic() - began_s
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(_POLL_S)
        if process.poll() is not None:
            raise SubjectError(f"it ended with status {process.returncode}")
    raise SubjectError("it was not ready in time")


def wait_until_at_rest(pid: int) -> None:
    """Wait until RocksDB has merged what it was given: that is paid once, not by each event."""
    began_s, before = time.monotonic(), -math.inf
    while (now := cpu_seconds(pid)) - before > _REST_SHARE * _REST_S:
        if time.monotonic() - began_s > _READY_TIMEOUT_S:
            raise SubjectError("it did not come to rest in time")
        before = now
        time.sleep(_REST_S)


async def _send_events(bench: Bench, keyed: dict[int, list[Row]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bench.bootstrap, max_batch_size=262_144)
    await producer.start()
    try:
        await send(producer, _TOPIC, keyed)
    finally:
        await producer.stop()


async def fill(bench: Bench, settings: Settings, keyed: dict[int, list[Row]], accounts: int) -> int:
    """Send state as it were if all accounts had been active once; return the bytes of one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(settings.topics.requests, PARTITIONS, 1)])
    finally:
        await admin.close()
    await create(settings)
    producer = AIOKafkaProducer(bootstrap_servers=bench.bootstrap, max_batch_size=262_144)
    await producer.start()
    try:
        log = changelog_topic(settings)
        markers, profiles = _sample(settings, keyed)
        names = (f"acct_{number:06d}" for number in range(accounts))
        while some := list(islice(names, _CHUNK)):
            await send(producer, log, _rows(some, profiles))
        await send(producer, log, markers)
    finally:
        await producer.stop()
    return sum(len(value) for both in profiles for value in both) // len(profiles)


def _sample(
    settings: Settings, keyed: dict[int, list[Row]]
) -> tuple[dict[int, list[Row]], list[tuple[bytes, bytes]]]:
    """Return each partition's marker, and profiles with choices of accounts that were active."""
    markers: dict[int, list[Row]] = {}
    found: list[tuple[bytes, bytes]] = []
    for partition in range(PARTITIONS):
        shard = Shard(
            settings.detection(),
            "bench",
            settings.topics.logs,
            partition,
            PARTITIONS,
            lambda _: None,
            lambda: None,
        )
        shard.detector.exchange.excuse(list(range(PARTITIONS)))
        requests = [
            _a_day_before(decode_request(row.value or b"", _ARRIVED_S))
            for row in keyed[partition][: _SAMPLE // PARTITIONS]
        ]
        shard.judge(requests, range(len(requests)), len(requests))
        checkpoint = shard.begin_checkpoint()
        assert checkpoint is not None
        markers[partition] = [
            *(row for row in checkpoint.rows if row.key.startswith(b"p")),
            checkpoint.marker,
        ]
        values = {row.key: row.value or b"" for row in checkpoint.rows}
        found += (
            (value, values[b"c" + key[1:]])
            for key, value in values.items()
            if key.startswith(b"a") and b"c" + key[1:] in values
        )
    found.sort(key=lambda both: len(both[0]) + len(both[1]), reverse=True)
    return markers, found[:_PROFILES]


def _a_day_before(request: Request) -> Request:
    """Return a request as of the day before: most who are known have been there on another day."""
    return msgspec.structs.replace(request, ts=request.ts - DAY_S)


def _rows(names: list[str], profiles: list[tuple[bytes, bytes]]) -> dict[int, list[Row]]:
    rows: dict[int, list[Row]] = defaultdict(list)
    for name, (profile, choices) in zip(names, cycle(profiles), strict=False):
        key = name.encode()
        some = rows[partition_of(key, PARTITIONS)]
        for slot in (b"0", b"1"):  # as of an account that has been in two checkpoints
            some += [Row(b"a" + key + slot, profile), Row(b"c" + key + slot, choices)]
    return rows


async def send(producer: AIOKafkaProducer, topic: str, rows: dict[int, list[Row]]) -> None:
    """Send rows, partition by partition, and wait until all have arrived."""

    async def send_some(partition: int, some: list[Row]) -> None:
        await asyncio.gather(*await send_rows(producer, topic, partition, some))

    await asyncio.gather(*(send_some(partition, some) for partition, some in rows.items()))
