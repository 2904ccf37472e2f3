"""Decisions acknowledged, then state, then offsets; and after a failure nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata, TopicPartition
from faust.types import TP
from prometheus_client import CollectorRegistry

from models.config import DetectionConfig
from models.notices import Release, Subject
from models.request import Request
from streams.checkpoint import Checkpoints
from streams.health import Readiness
from streams.metrics import Metrics
from streams.outbox import Row
from streams.settings import Logs
from streams.shard import Checkpoint, Shard
from streams.transport import Batch
from tests.decisions import decision

LOGS = Logs("by-account", "link-activity", "notices")
JUDGED, FORWARDED, NOTICES = TP(LOGS.requests, 0), TP("requests", 0), TP(LOGS.notices, 0)

ACCOUNTS_MAX = 3_000


class Broker:
    """Stands for the outbox and the table: notes what is written, acknowledges when told."""

    changelog_topic_name = "changelog"

    def __init__(self) -> None:
        self.written: list[str] = []
        self.waiting: list[asyncio.Future[RecordMetadata]] = []
        self.rows: dict[bytes, bytes | None] = {}
        self.is_member_now = True
        self.when_asked: Callable[[], None] = lambda: None

    async def send_rows(
        self, topic: str, partition: int, rows: Iterable[Row]
    ) -> list[asyncio.Future[RecordMetadata]]:
        self.written.append(f"{topic}: {', '.join(row.key.decode() for row in rows)}")
        return [self.send()]

    def send(self) -> asyncio.Future[RecordMetadata]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]

    def acknowledge(self) -> None:
        at = TopicPartition("any", 0)
        for waiting in self.waiting:
            waiting.set_result(RecordMetadata("any", 0, at, 7, 0, 0, 0))
        self.waiting.clear()

    async def apply_notices(self, shard: Shard) -> list[asyncio.Future[RecordMetadata]]:
        shard.apply_notices()
        self.written.append("notices applied")
        return []

    async def publish_ends(self, keys: list[str]) -> list[asyncio.Future[RecordMetadata]]:
        self.written += [f"nothing in force: {key}" for key in keys]
        return []

    async def is_member(self) -> bool:
        self.when_asked()
        return self.is_member_now

    def reader(self, partition: int) -> Callable[[bytes], bytes | None]:
        return self.rows.get

    def write(self, partition: int, rows: Sequence[Row], changelog_offset: int) -> None:
        self.written.append(f"table up to {changelog_offset}")
        self.rows.update((row.key, row.value) for row in rows)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def checkpoints(broker: Broker) -> Checkpoints:
    return Checkpoints(
        broker,  # type: ignore[arg-type]
        broker,  # type: ignore[arg-type]
        broker.is_member,
        Metrics(CollectorRegistry()),
        Readiness(dead_letters_per_minute=1),
        LOGS,
        broker.apply_notices,
        broker.publish_ends,
        accounts_in_memory_max=ACCOUNTS_MAX,
    )


def judge(
    checkpoints: Checkpoints, broker: Broker, account_id: str = "ann", tp: TP = JUDGED
) -> Shard:
    shard = checkpoints.shard(tp)
    if shard is None:
        shard = Shard(DetectionConfig(), "1", LOGS, 0, 1, broker.rows.get, lambda: (0, 0, 0))
        checkpoints.add_shard(tp, shard)
    at = shard.offset
    shard.judge([Request(1e9, f"r{at}", account_id, "view")], [at], at + 1)
    return shard


def release(account_id: str) -> Release:
    return Release(
        id="n1",
        by="mira",
        why="a test",
        issued_at="2001-09-09T01:46:40Z",
        subject=Subject("account", account_id),
    )


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_step_waits_for_the_one_before(checkpoints: Checkpoints, broker: Broker) -> None:
    judge(checkpoints, broker)
    await checkpoints.sent(JUDGED, [broker.send()])
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    await settle()
    assert broker.written == []
    broker.acknowledge()
    await settle()
    assert broker.written == ["changelog: aann0"]
    broker.acknowledge()
    await settle()
    assert broker.written == ["changelog: aann0", "changelog: m"]
    assert not running.done()
    broker.acknowledge()
    assert await running == {JUDGED: 1}
    assert broker.written[2:] == ["table up to 7"]
    assert checkpoints.resume_offsets({JUDGED, FORWARDED}) == {JUDGED: 1}


async def test_notices_take_effect_once_the_marker_that_promises_them_is_durable(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    shard = judge(checkpoints, broker)
    shard.receive([(0, release("ann"))], 1)
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    for _ in range(2):
        await settle()
        broker.acknowledge()
        assert "notices applied" not in broker.written
        assert checkpoints.working(JUDGED).locked()  # no request comes in between
    assert await running == {JUDGED: 1}
    assert broker.written[-2:] == ["table up to 7", "notices applied"]
    assert not checkpoints.is_settled
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    for _ in range(2):
        await settle()
        broker.acknowledge()
    assert await running == {JUDGED: 1, NOTICES: 1}
    assert checkpoints.is_settled
    assert checkpoints.resume_offsets({JUDGED, NOTICES}) == {JUDGED: 1, NOTICES: 1}


async def test_nothing_follows_a_checkpoint_that_failed(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    judge(checkpoints, broker)
    await checkpoints.sent(JUDGED, [broker.send()])
    broker.waiting[0].set_exception(KafkaTimeoutError())
    with pytest.raises(KafkaTimeoutError):
        await checkpoints.checkpoint({JUDGED})
    judge(checkpoints, broker, "bob")
    # What was cut out for the failed one would be missing.
    assert await checkpoints.checkpoint({JUDGED}) == {}
    assert broker.written == []


async def test_a_partition_makes_room_for_one_that_joins_it(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    for n in range(ACCOUNTS_MAX * 2 // 3):
        judge(checkpoints, broker, f"p{n}")
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    for _ in range(2):
        await settle()
        broker.acknowledge()
    assert await running
    await checkpoints.wait_for_room(JUDGED)
    judge(checkpoints, broker, tp=TP(LOGS.requests, 1))
    waiting = asyncio.create_task(checkpoints.wait_for_room(JUDGED))
    assert not checkpoints.wanted.is_set()
    await settle()
    assert not waiting.done()
    assert checkpoints.wanted.is_set()
    assert await checkpoints.checkpoint({JUDGED}) == {}  # nothing has changed in it
    await waiting
    assert checkpoints.live_accounts < ACCOUNTS_MAX // 2


async def test_others_have_a_turn_between_the_cuts_of_two_partitions(
    checkpoints: Checkpoints, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    cut = Shard.begin_checkpoint

    def note(shard: Shard) -> Checkpoint | None:
        turns.append("cut")
        return cut(shard)

    monkeypatch.setattr(Shard, "begin_checkpoint", note)
    tps = {TP(LOGS.requests, n) for n in range(3)}
    for tp in tps:
        judge(checkpoints, broker, tp=tp)
    running = asyncio.create_task(checkpoints.checkpoint(tps))
    while turns.count("cut") < 3:
        await asyncio.sleep(0)
        turns.append("turn")
    assert "cut cut" not in " ".join(turns)
    for _ in range(2):
        await settle()
        broker.acknowledge()
    assert await running


async def test_what_a_failing_batch_has_touched_is_not_written(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    judge(checkpoints, broker)
    async with checkpoints.working(JUDGED):
        running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
        await settle()
        judge(checkpoints, broker, "half judged")
        checkpoints.fail()
    assert await running == {}
    assert broker.written == []


async def test_what_was_passed_on_is_committed_once_all_before_it_is_acknowledged(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    first, second = broker.send(), broker.send()
    await checkpoints.forwarded(FORWARDED, 10, [first])
    await checkpoints.forwarded(FORWARDED, 20, [second])
    running = asyncio.create_task(checkpoints.checkpoint({FORWARDED}))
    second.set_result(RecordMetadata("any", 0, TopicPartition("any", 0), 7, 0, 0, 0))
    await settle()
    assert not running.done()
    await checkpoints.forwarded(FORWARDED, 30, [broker.send()])
    first.set_result(RecordMetadata("any", 0, TopicPartition("any", 0), 8, 0, 0, 0))
    assert await running == {FORWARDED: 20}


async def test_a_revoked_partition_is_forgotten(checkpoints: Checkpoints, broker: Broker) -> None:
    judge(checkpoints, broker)
    await checkpoints.forwarded(FORWARDED, 10, [])
    checkpoints.drop({JUDGED, FORWARDED})
    assert await checkpoints.checkpoint({JUDGED, FORWARDED}) == {}
    assert broker.written == []
    assert checkpoints.shard(JUDGED) is None


@pytest.mark.parametrize("already_written", [0, 1], ids=["before the rows", "before the marker"])
async def test_a_worker_that_the_group_has_given_up_writes_no_more(
    checkpoints: Checkpoints, broker: Broker, already_written: int
) -> None:
    judge(checkpoints, broker)
    await checkpoints.sent(JUDGED, [broker.send()])
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    for _ in range(already_written):
        await settle()
        broker.acknowledge()
    await settle()
    broker.is_member_now = False
    broker.acknowledge()
    assert await running == {}
    assert broker.written == ["changelog: aann0"][:already_written]
    # Back in the group it has no whole state before it is given partitions anew.
    broker.is_member_now = True
    judge(checkpoints, broker)
    assert await checkpoints.checkpoint({JUDGED}) == {}
    checkpoints.drop({JUDGED})
    assert checkpoints.is_settled


def batch(first: int, last: int, after: int) -> Batch:
    records = [SimpleNamespace(offset=offset) for offset in range(first, last + 1)]
    return Batch(FORWARDED, records, after)


async def test_a_tombstone_follows_a_release_once_it_is_durable(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    shard = judge(checkpoints, broker)
    review = msgspec.structs.replace(decision(), scope="group", value="org:x")
    shard.detector.docket.hold(review)
    shard.detector.docket.hold(msgspec.structs.replace(review, action="release", expires_at=None))
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    for _ in range(2):
        await settle()
        broker.acknowledge()
        assert not any(each.startswith("nothing") for each in broker.written)
        assert checkpoints.working(JUDGED).locked()  # nobody is decided about in between
    assert await running == {JUDGED: 1}
    assert broker.written[-2:] == ["table up to 7", "nothing in force: group:org:x"]
    assert await checkpoints.checkpoint({JUDGED}) == {}


async def test_a_partition_that_was_revoked_meanwhile_is_not_written(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    judge(checkpoints, broker)
    broker.when_asked = lambda: checkpoints.drop({JUDGED})
    assert await checkpoints.checkpoint({JUDGED}) == {}
    assert broker.written == []


async def test_a_partition_that_was_revoked_while_it_was_written_leaves_the_table_alone(
    checkpoints: Checkpoints, broker: Broker
) -> None:
    judge(checkpoints, broker)
    running = asyncio.create_task(checkpoints.checkpoint({JUDGED}))
    await settle()
    broker.acknowledge()
    await settle()
    # By now the table may be a copy, and hold what another worker has written since.
    checkpoints.drop({JUDGED})
    broker.acknowledge()
    assert await running == {}
    assert broker.written == ["changelog: aann0", "changelog: m"]


def test_no_record_is_taken_twice(checkpoints: Checkpoints) -> None:
    assert len(checkpoints.take(batch(10, 19, -1))) == 10
    assert [r.offset for r in checkpoints.take(batch(15, 24, 14))] == list(range(20, 25))
    assert checkpoints.take(batch(10, 19, -1)) == []


def test_records_before_where_reading_begins_are_done_and_no_loss(checkpoints: Checkpoints) -> None:
    checkpoints.take(batch(10, 19, -1))
    checkpoints.begin_at({FORWARDED: 35})
    assert [r.offset for r in checkpoints.take(batch(30, 39, 29))] == list(range(35, 40))
    with pytest.raises(RuntimeError, match="after 39 and up to 49 were read"):
        checkpoints.take(batch(50, 59, 49))


def test_a_record_that_was_read_and_left_out_is_noticed(checkpoints: Checkpoints) -> None:
    checkpoints.take(batch(10, 19, -1))
    with pytest.raises(RuntimeError, match="after 19 and up to 29 were read and not worked on"):
        checkpoints.take(batch(30, 39, 29))
    # Offsets may jump, as with transactions or compaction.
    checkpoints.take(batch(40, 49, 19))
