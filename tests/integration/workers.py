"""Real worker processes for tests, and what they read and write."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from models.decision import Decision
from models.detector import Detector
from models.request import Request
from streams.codec import InvalidRequest, decode_request
from streams.embedded import free_port, spawn
from streams.kafka import client_arguments
from streams.marker import resume_offsets
from streams.partitions import partition_of
from streams.rows import TwinRows
from streams.settings import ENV_PREFIX, Settings
from streams.settings_reader import Secret
from streams.shard import Shard
from streams.topic_plan import changelog_topic
from tests.assembly import Assembly

#: Joining a group, recovery and judging take seconds on an idle machine; this is for a busy one.
TIMEOUT_S = 90.0
_POLL_S = 0.05
_COMMAND = "from streams.commands import main; main(['worker'])"
START_S = 1_709_300_000.0


class Worker:
    """One worker process with a state directory, a probe port and a log of its own."""

    def __init__(
        self, settings: Settings, directory: Path, command: str, listen: str | None
    ) -> None:
        state = msgspec.structs.replace(settings.state, directory=str(directory / "state"))
        listen = listen or f"127.0.0.1:{free_port()}"
        metrics = msgspec.structs.replace(settings.metrics, listen=listen)
        self.settings = msgspec.structs.replace(settings, state=state, metrics=metrics)
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "worker.log"
        with self._log.open("ab") as log:
            self._process = spawn(
                ["env", *environment(self.settings), sys.executable, "-c", command], log
            )

    @property
    def said(self) -> str:
        """All that this worker has logged, and those before it in the same directory."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, `None` while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the process to end; return its exit status."""
        await until(lambda: self._process.poll() is not None, self)
        return self._process.wait()

    async def stop(self) -> None:
        """End it with a last checkpoint."""
        self.signal(signal.SIGTERM)
        status = await self.ended()
        assert status == 0, f"{status}: {self.said}"

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        self._process.wait()

    async def get(self, path: str) -> tuple[int, str]:
        """Ask its probes; status 0 while nobody listens."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://{self.settings.metrics.listen}{path}") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectionError:
                return 0, ""

    async def ready(self) -> Worker:
        """Wait until it is ready."""
        await self.answers("/ready", lambda status, _: status == 200)
        return self

    async def answers(self, path: str, condition: Callable[[int, str], bool]) -> str:
        """Wait until its probes answer so."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            status, text = await self.get(path)
            if condition(status, text):
                return text
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, f"{path}: {status} {text}\n{self.said}"
            await asyncio.sleep(_POLL_S)

    async def metrics(self) -> dict[str, float]:
        """Return its samples by name and label values: `pairwatch_events_total judged`."""
        _, text = await self.get("/metrics")
        return _samples(text)

    async def has_partitions(self, count: int) -> None:
        """Wait until it has so many of the accounts' partitions."""
        line = f"pairwatch_partitions_assigned {count}.0"
        await self.answers("/metrics", lambda _, text: line in text)

    async def handled(self, events: int) -> None:
        """Wait until as many events have had an outcome."""
        await self.answers(
            "/metrics",
            lambda _, text: (
                sum(v for k, v in _samples(text).items() if k.startswith("pairwatch_events_total"))
                >= events
            ),
        )


async def until(condition: Callable[[], bool], *workers: Worker) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "\n".join(worker.said for worker in workers)
        await asyncio.sleep(_POLL_S)


@contextlib.contextmanager
def worker(
    settings: Settings, directory: Path, command: str = _COMMAND, listen: str | None = None
) -> Iterator[Worker]:
    """Run a worker for the length of a block."""
    running = Worker(settings, directory, command, listen)
    try:
        yield running
    finally:
        running.kill()


def environment(settings: Settings) -> list[str]:
    told = msgspec.to_builtins(settings, enc_hook=Secret.reveal)
    sections = {name: told[name] for name in told if name not in ("gateway", "scenarios")}
    for name, scenario in told["scenarios"].items():
        sections[f"scenarios__{name.replace('-', '_')}"] = scenario
    return [
        f"{ENV_PREFIX}{section.upper()}__{key.upper()}={_text(value)}"
        for section, keys in sections.items()
        for key, value in keys.items()
        if value is not None
    ]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _samples(text: str) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def traffic(events: int = 3_000, apart_s: float = 2_500 / 3_000) -> list[Request]:
    """Return ordinary people who look at what is popular, and six fast copiers.

    All within an hour, unless their requests are further apart: partitions wait for each other
    hour by hour, and not for one to which a broker's fault keeps anything from being added. On
    real traffic an hour lasts longer than a fault; in a test days pass in seconds.
    """
    chance = random.Random(7)
    copying_from = events * 2 // 5
    requests = []
    for n in range(events):
        ts, account = START_S + n * apart_s, f"person-{chance.randrange(60)}"
        pair = f"popular-{int(chance.paretovariate(0.7)) % 2_000}"
        if n >= copying_from and n % 3:
            ts, account = START_S + copying_from * apart_s + n * 0.4, f"copier-{n % 7}"
            pair = f"rare-{n}"
        requests.append(Request(ts, f"r{n}", account, "view", [pair]))
    return requests


@dataclass(frozen=True)
class Record:
    """A message as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


async def produce(
    settings: Settings,
    messages: Iterable[Request | bytes | None],
    partition: int | None = None,
    topic: str | None = None,
) -> None:
    """Send messages to the requests, or to another topic, in their order.

    Without a partition they are keyed and placed by account if the settings say so; otherwise
    all go to the first, so that they keep their order on their way to the accounts' partitions.
    """
    placed = settings.topics.keyed_by_account and partition is None
    producer = AIOKafkaProducer(**client_arguments(settings.kafka), max_request_size=2 * 2**20)
    await producer.start()
    try:
        for message in messages:
            key, value, target = b"", message, partition or 0
            if isinstance(message, Request):
                value = msgspec.json.encode(message)
                key = message.account_id.encode()
                if placed:
                    target = partition_of(key, settings.topics.partitions)
            topic = topic or settings.topics.requests
            await producer.send(topic, value, key=key, partition=target)
        await producer.flush()
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def reading(settings: Settings, topic: str) -> AsyncIterator[Callable[[], Any]]:
    """Read a topic from its beginning; yields what returns all records read so far."""
    consumer = AIOKafkaConsumer(
        **client_arguments(settings.kafka),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    records: list[Record] = []
    try:
        partitions = 1 if topic == settings.topics.control else settings.topics.partitions
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])

        async def poll() -> list[Record]:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                records.extend(
                    Record(r.partition, r.offset, r.key, r.value, r.timestamp) for r in batch
                )
            return records

        yield poll
    finally:
        await consumer.stop()


async def read(
    settings: Settings, topic: str, enough: Callable[[list[Record]], bool]
) -> list[Record]:
    """Read a topic from its beginning until there is enough of it."""
    deadline = time.monotonic() + TIMEOUT_S
    async with reading(settings, topic) as poll:
        while True:
            records: list[Record] = await poll()
            if enough(records):
                return records
            assert time.monotonic() < deadline, f"{topic}: only {records[-20:]}"


async def read_to_end(settings: Settings, topic: str) -> list[Record]:
    """Read a topic to its end, which a message of our own marks in each of its partitions.

    A broker's word for where the end is would not do: the embedded one's is wrong.
    """
    mark = f"end-{time.monotonic_ns()}".encode()
    producer = AIOKafkaProducer(**client_arguments(settings.kafka))
    await producer.start()
    try:
        for number in range(settings.topics.partitions):
            await producer.send_and_wait(topic, b"", key=mark, partition=number)
    finally:
        await producer.stop()
    partitions = settings.topics.partitions
    records = await read(
        settings, topic, lambda found: sum(r.key == mark for r in found) == partitions
    )
    return [record for record in records if not (record.key or b"").startswith(b"end-")]


def decisions_in(records: Sequence[Record]) -> list[Decision]:
    """Return the decisions that a consumer takes: repeats dropped, in order for each account."""
    decisions = [msgspec.json.decode(record.value or b"", type=Decision) for record in records]
    return list({decision.decision_id: decision for decision in decisions}.values())


def requests_in(records: Iterable[Record]) -> Iterator[Request]:
    """Yield the requests among records of any kind, as a worker reads them."""
    for record in records:
        with contextlib.suppress(InvalidRequest):
            yield decode_request(record.value or b"", record.timestamp / 1_000)


class Reference:
    """What should come of a topic: its records through the detectors, in one process."""

    def __init__(self, settings: Settings, records: Iterable[Record]) -> None:
        partitions = settings.topics.partitions
        self.detectors = [
            Detector(
                settings.detection(),
                version("pairwatch"),
                settings.topics.accounts_source,
                partition,
                lambda _: None,
                partitions=partitions,
            )
            for partition in range(partitions)
        ]
        assembly = Assembly(self.detectors)
        for record in records:
            for request in requests_in([record]):
                assembly.add(record.partition, request, record.offset)
        self.decisions = [decision for _, seen in assembly.run() for decision in seen.decisions]

    @property
    def by_id(self) -> dict[str, Decision]:
        """The decisions by their id."""
        return {decision.decision_id: decision for decision in self.decisions}


async def rows_in_changelog(settings: Settings) -> dict[int, dict[bytes, bytes]]:
    """Return each partition's rows as they stand in the changelog."""
    rows: dict[int, dict[bytes, bytes]] = {}
    for record in await read_to_end(settings, changelog_topic(settings)):
        found, key = rows.setdefault(record.partition, {}), record.key or b""
        if record.value is None:
            found.pop(key, None)
        else:
            found[key] = record.value
    return rows


async def is_committed(settings: Settings, requests: list[Record]) -> bool:
    """Whether the group has nothing left of these to do.

    What a worker that was killed had passed on already, the next one passes on again: until then
    the accounts' log still grows.
    """
    topic = settings.topics.requests
    ends = {TopicPartition(topic, r.partition): r.offset + 1 for r in requests}
    admin = AIOKafkaAdminClient(**client_arguments(settings.kafka))
    await admin.start()
    try:
        at = await admin.list_consumer_group_offsets(settings.kafka.group, partitions=list(ends))
    finally:
        await admin.close()
    return all(tp in at and at[tp].offset >= end for tp, end in ends.items())


async def caught_up(settings: Settings, events: int, *workers: Worker) -> None:
    """Wait until so many distinct events are in the accounts' log and in the durable state."""
    deadline = time.monotonic() + TIMEOUT_S
    async with (
        reading(settings, settings.topics.accounts_source) as poll_log,
        reading(settings, changelog_topic(settings)) as poll_rows,
        reading(settings, settings.topics.requests) as poll_requests,
    ):
        while True:
            requests, log, rows = await poll_requests(), await poll_log(), await poll_rows()
            ends = {record.partition: record.offset + 1 for record in log}
            markers = {
                r.partition: resume_offsets({r.key: r.value}.get)[0] for r in rows if r.key == b"m"
            }
            # A partition without requests may have news that it heard, which are state, too.
            read_to = {partition: offset for partition, offset in markers.items() if offset}
            is_all = len({r.request_id for r in requests_in(log)}) >= events
            if read_to == ends and is_all and await is_committed(settings, requests):
                return
            assert time.monotonic() < deadline, f"{markers}, {ends}\n" + "\n".join(
                worker.said for worker in workers
            )


def in_order(profile: bytes) -> list[object]:
    """Return a profile's fields; the words of sketches, which stand in any order, sorted."""
    fields: list[object] = msgspec.msgpack.decode(profile)
    return [
        sorted(each[at : at + 4] for at in range(0, len(each), 4))
        if isinstance(each, bytes)
        else each
        for each in fields
    ]


async def assert_undisturbed(settings: Settings) -> None:
    """Assert that decisions and state are those of an undisturbed run over the accounts' log.

    Every account's state is the same, number by number. What has been learned of all is the same
    if it goes on the same: half of the accounts copy, and what the detector says of it tells.
    (Within the hour that it was in: what other partitions have told for the next ones stands in
    their log.)
    """
    log = await read_to_end(settings, settings.topics.accounts_source)
    expected = Reference(settings, log)
    assert expected.decisions
    records = await read_to_end(settings, settings.topics.decisions)
    told = [msgspec.json.decode(record.value or b"", type=Decision) for record in records]
    ids = {decision.decision_id for decision in told}
    differing = [one for one in told if one.decision_id not in expected.by_id]
    differing += [one for name, one in expected.by_id.items() if name not in ids]
    seen = [(d.key, d.revision, d.action, d.issued_at, d.evidence.source) for d in differing]
    assert not seen, f"{len(told)} told, of which or of those expected differ: {seen}"
    assert all(decision == expected.by_id[decision.decision_id] for decision in told)

    rows = await rows_in_changelog(settings)
    ends = {record.partition: record.offset + 1 for record in log}
    for number, end in ends.items():
        detector = expected.detectors[number]
        shard = Shard(
            settings.detection(),
            version("pairwatch"),
            settings.topics.logs,
            number,
            settings.topics.partitions,
            rows[number].get,
            lambda: None,
        )
        assert shard.offset == end
        state = TwinRows(rows[number].get, lambda shard=shard: shard.durable)
        profiles = detector.snapshot().profiles
        for name, profile in profiles.items():
            found = state.load("a", name)
            assert found is not None
            assert in_order(found) == in_order(profile), name
        more = [
            Request(shard.watermark_s, f"more-{account}-{n}", account, "view", [f"{account}-{n}"])
            for account in sorted(profiles)[::2]
            for n in range(300)
        ]
        offsets = range(end, end + len(more))
        observed = shard.detector.observe(more, offsets)
        assert observed.decisions
        assert observed == detector.observe(more, offsets)
