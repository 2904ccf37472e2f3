"""The agents: every record of a batch goes where it belongs, whatever it carries."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from faust.types import TP

from models.request import Request
from streams import agents, notices
from streams.app import App, create_app
from streams.control.verifier import Verifier
from streams.outbox import Row
from streams.settings import Settings, State, Topics
from streams.shard import Shard
from tests.contract import assert_valid_dead_letter, assert_valid_decision
from tests.decisions import until


@dataclass
class Record:
    """A Kafka record, as far as agents look at it."""

    offset: int
    value: bytes | None
    timestamp: int


class Sent:
    """Stands for the outbox: keeps what is sent, by topic, and acknowledges at once."""

    def __init__(self) -> None:
        self.by_topic: dict[str, list[tuple[bytes, bytes | None]]] = {}
        self.rows: dict[int, list[Row]] = {}
        self.together: dict[str, list[Row]] = {}

    async def partitions(self, topic: str) -> int:
        return 4

    async def send(self, topic: str, key: bytes, value: bytes | None) -> asyncio.Future[None]:
        self.by_topic.setdefault(topic, []).append((key, value))
        return self._acknowledged()

    async def send_rows(
        self, topic: str, partition: int, rows: Iterable[Row]
    ) -> list[asyncio.Future[None]]:
        self.rows.setdefault(partition, []).extend(rows)
        return [self._acknowledged()]

    async def send_together(
        self, topic: str, rows: Iterable[Row], linger_s: float = 0.0
    ) -> list[asyncio.Future[None]]:
        self.together.setdefault(topic, []).extend(rows)
        return [self._acknowledged()]

    def _acknowledged(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def app_for(tmp_path: Path, is_keyed: bool) -> tuple[App, Sent]:
    settings = Settings(
        topics=Topics(keyed_by_account=is_keyed), state=State(directory=str(tmp_path))
    )
    app, sent = create_app(settings), Sent()
    app.outbox = sent  # type: ignore[assignment]
    return app, sent


def with_state(app: App, partition: int = 0, *, partitions: int = 1) -> TP:
    """Give a partition, by default the only one, an empty state in memory."""
    tp = TP(app.settings.topics.accounts_source, partition)
    shard = Shard(
        app.settings.detection(),
        app.version,
        app.settings.topics.logs,
        tp.partition,
        partitions,
        {}.get,
        lambda: (0, 0, 0),
    )
    if partitions == 1:
        shard.detector.exchange.excuse([0])  # there is nobody here to wait for
    app.checkpointer.add_shard(tp, shard)
    return tp


def now_ms() -> int:
    return int(time.time() * 1_000)


def record(offset: int, request: Request | bytes | None, timestamp: int | None = None) -> Record:
    value = msgspec.json.encode(request) if isinstance(request, Request) else request
    return Record(offset, value, now_ms() if timestamp is None else timestamp)


def view(account_id: str, n: int, ts: float | None = None) -> Request:
    ts = time.time() - 3_600 + n / 100 if ts is None else ts
    return Request(ts, f"r-{account_id}-{n}", account_id, "view", [f"pair-{n}"])


def count(app: App, outcome: str) -> float:
    value = app.metrics.registry.get_sample_value("pairwatch_events_total", {"outcome": outcome})
    assert value is not None
    return value


async def test_forward_sends_each_request_as_it_came_by_its_account(tmp_path: Path) -> None:
    app, sent = app_for(tmp_path, is_keyed=False)
    arrived_ms = now_ms() - 5_000
    records = [record(n, view(f"a{n % 5}", n), arrived_ms) for n in range(50)]
    await agents.forward(app, TP("gateway.requests", 3), records)
    rows = sent.together[app.settings.topics.requests_by_account]
    assert [row.value for row in rows] == [each.value for each in records]
    for each, row in zip(records, rows, strict=True):
        assert each.value is not None
        assert row.key.decode() == msgspec.json.decode(each.value)["account_id"]
        assert row.timestamp_ms == arrived_ms
    offsets = await app.checkpointer.checkpoint({TP("gateway.requests", 3)})
    assert offsets == {TP("gateway.requests", 3): 50}


@pytest.mark.parametrize("stamp_ms", [-1, 2**62])
async def test_a_time_of_arrival_that_cannot_be_is_taken_for_now(
    tmp_path: Path, stamp_ms: int
) -> None:
    app, sent = app_for(tmp_path, is_keyed=False)
    begin_ms = now_ms()
    await agents.forward(app, TP("gateway.requests", 0), [record(0, view("ann", 0), stamp_ms)])
    ((row,),) = sent.together.values()
    assert row.timestamp_ms is not None
    assert begin_ms <= row.timestamp_ms <= now_ms()


@pytest.mark.parametrize("is_keyed", [False, True], ids=["forward", "judge"])
async def test_what_is_no_request_becomes_a_dead_letter(tmp_path: Path, is_keyed: bool) -> None:
    app, sent = app_for(tmp_path, is_keyed)
    tp = with_state(app) if is_keyed else TP("gateway.requests", 0)
    handle = agents.judge if is_keyed else agents.forward
    await handle(app, tp, [record(7, b"{"), record(8, view("ann", 0)), record(9, None)])
    letters = sent.by_topic.pop("pairwatch.dead-letters")
    assert [key for key, _ in letters] == [f"gateway.requests:0:{n}".encode() for n in (7, 9)]
    assert [assert_valid_dead_letter(value or b"")["reason"] for _, value in letters] == [
        "bad-json",
        "bad-json",
    ]
    assert count(app, "dead-letter") == 2
    assert count(app, "judged") == int(is_keyed)
    forwarded = sent.together.get(app.settings.topics.requests_by_account, [])
    assert len(forwarded) == int(not is_keyed)


async def test_judge_sends_decisions_to_the_log_and_the_state(tmp_path: Path) -> None:
    app, sent = app_for(tmp_path, is_keyed=True)
    tp = with_state(app)
    for start in range(0, 2_000, 500):
        records = [record(n, view("copier", n)) for n in range(start, start + 500)]
        await agents.judge(app, tp, records)
    log, state = sent.by_topic["pairwatch.decisions"], sent.by_topic["pairwatch.decisions.state"]
    assert log
    assert log == state
    for key, value in log:
        assert key == b"account:copier"
        assert_valid_decision(value or b"")
    assert count(app, "judged") == 2_000


async def test_judge_leaves_out_what_the_state_includes(tmp_path: Path) -> None:
    app, _ = app_for(tmp_path, is_keyed=True)
    tp = with_state(app)
    records = [record(n, view("ann", n)) for n in range(10)]
    await agents.judge(app, tp, records[:6])
    await agents.judge(app, tp, records[4:])
    assert (count(app, "judged"), count(app, "skipped")) == (10, 2)


async def test_judge_counts_the_events_of_accounts_that_belong_elsewhere(tmp_path: Path) -> None:
    app, _ = app_for(tmp_path, is_keyed=True)
    first, second = with_state(app, 0), with_state(app, 1)
    await agents.judge(app, first, [record(n, view("ann", n)) for n in range(5)])
    mixed = [record(0, view("bob", 0)), record(1, view("ann", 6)), record(2, view("ann", 7))]
    await agents.judge(app, second, mixed)
    assert app.metrics.registry.get_sample_value("pairwatch_misrouted_events_total") == 2


async def test_a_partition_goes_on_without_those_that_say_nothing_and_remembers_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notices, "_OTHERS_TIMEOUT_S", 0.01)
    app, sent = app_for(tmp_path, is_keyed=True)
    tp = with_state(app, partitions=2)
    shard = app.shard(tp)
    judging = asyncio.create_task(agents.judge(app, tp, [record(0, view("ann", 0))]))
    await until(lambda: bool(sent.rows.get(0)))  # a notice to itself
    assert "waits no longer for partitions 1" in caplog.text
    heard = TP(app.settings.topics.notices, 0)
    await agents.heed(app, heard, [record(0, sent.rows[0][0].value)])
    assert count(app, "judged") == 0
    begun = shard.begin_checkpoint()
    assert begun is not None
    shard.end_checkpoint(begun, 1_000)
    shard.apply_notices()
    await judging
    assert count(app, "judged") == 1


@pytest.mark.parametrize("topic", ["requests_by_account", "link_activity", "notices", "control"])
async def test_the_operator_can_have_a_message_of_any_topic_set_aside(
    tmp_path: Path, topic: str
) -> None:
    app, sent = app_for(tmp_path, is_keyed=False)
    with_state(app)
    tp = TP(getattr(app.settings.topics, topic), 0)
    app.skipped = frozenset({(tp, 0)})
    app.verifier = Verifier(app.settings.control)
    handle = {
        "requests_by_account": agents.judge,
        "link_activity": agents.judge_links,
        "notices": agents.heed,
        "control": agents.take_orders,
    }[topic]
    await handle(app, tp, [record(0, b"brings a bug out"), record(1, b"brings none out")])
    letters = [
        assert_valid_dead_letter(value or b"")
        for _, value in sent.by_topic[app.settings.topics.dead_letters]
    ]
    assert [letter["source"]["offset"] for letter in letters] == [0, 1]
    assert letters[0]["reason"] == "skipped" != letters[1]["reason"]


@pytest.mark.parametrize(
    ("partition", "hours_ahead"), [(12, 0), (2**32 - 1, 0), (1, 4), (1, 10**9)]
)
async def test_a_digest_that_nobody_can_have_told_is_set_aside(
    tmp_path: Path, partition: int, hours_ahead: int
) -> None:
    app, sent = app_for(tmp_path, is_keyed=False)
    with_state(app)
    hour = int(time.time() // 3_600)
    tp = TP(app.settings.topics.notices, 0)
    told = [
        struct.pack(">cIq?", b"\x00", number, hour + ahead, False) + b"learned"
        for number, ahead in ((1, 0), (partition, hours_ahead))
    ]
    await agents.heed(app, tp, [record(at, value) for at, value in enumerate(told)])
    (letter,) = sent.by_topic[app.settings.topics.dead_letters]
    assert letter[0] == f"{tp.topic}:0:1".encode()
