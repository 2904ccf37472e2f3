"""Accounts that somebody makes up, a request each: what memory they take."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import defaultdict

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from models.request import Request
from streams.kafka import running
from streams.outbox import Row
from streams.partitions import partition_of
from streams.settings import Settings
from streams.topics import create
from tests.benchmarks.events import CATALOGUE, START_S
from tests.benchmarks.known import send
from tests.benchmarks.measure import SubjectError, committed_by, peak_mib
from tests.benchmarks.preload import PARTITIONS
from tests.benchmarks.subjects import Bench, settings_for, started

_TOPIC = "bench.flood"
_DAY_S = 86_400.0
_CHUNK = 100_000
_POLL_S = 1.0
#: A worker that has committed nothing for so long is stuck, even on a busy machine.
_PATIENCE_S = 300.0


class Flood(msgspec.Struct, frozen=True):
    """What a worker took until it had judged one request of each of so many accounts."""

    accounts: int
    seconds: float
    peak_mib: float


def flood(bench: Bench, accounts: int) -> Flood:
    """Let a worker judge one request of each of so many accounts, all within a day."""
    settings = settings_for(bench, keyed=True, requests=_TOPIC)
    asyncio.run(create(settings))
    asyncio.run(_fill(bench, accounts))
    began_s = time.monotonic()
    with started(bench, settings) as process:
        asyncio.run(_until_committed(bench, settings, accounts, process))
        return Flood(accounts, time.monotonic() - began_s, peak_mib(process.pid))


async def _until_committed(
    bench: Bench, settings: Settings, events: int, process: subprocess.Popen[bytes]
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    async with running(admin, settings.kafka):
        done, moved_s = -1, time.monotonic()
        while done < events:
            before, done = done, await committed_by(admin, settings.kafka.group, _TOPIC)
            if done > before:
                moved_s = time.monotonic()
            if process.poll() is not None or time.monotonic() - moved_s > _PATIENCE_S:
                raise SubjectError(f"it ended, or came to a standstill, at {done} events")
            await asyncio.sleep(_POLL_S)


async def _fill(bench: Bench, accounts: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bench.bootstrap, max_batch_size=262_144)
    await producer.start()
    try:
        for first in range(0, accounts, _CHUNK):
            keyed: dict[int, list[Row]] = defaultdict(list)
            for n in range(first, min(first + _CHUNK, accounts)):
                request = Request(
                    START_S + n * _DAY_S / accounts,
                    f"req_{n:012x}",
                    f"made-up-{n:08x}",
                    "view",
                    [f"pair_{n * 7_919 % CATALOGUE:07d}"],
                )
                key = request.account_id.encode()
                row = Row(key, msgspec.json.encode(request))
                keyed[partition_of(key, PARTITIONS)].append(row)
            await send(producer, _TOPIC, keyed)
    finally:
        await producer.stop()
