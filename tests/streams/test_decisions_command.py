"""`pairwatch decisions` shows what stands in Kafka: each once, newest, as asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from click.testing import CliRunner, Result

from models.decision import Decision, rfc3339
from streams.commands import decisions
from streams.commands.decisions import Query, Reader, newest, parse_since
from streams.consume import Record
from streams.errors import OperatorError
from streams.schemas import load
from streams.settings import Settings
from tests.brokers.choice import Broker

ROOT = Path(__file__).parents[2]
NOW_S = 1_709_409_600.0
EXAMPLE = msgspec.convert(load("decision")["examples"][0], Decision)


def decision(number: int, **changes: Any) -> Decision:
    """Return the decision that was issued `number` minutes after `NOW_S`."""
    told: dict[str, Any] = {
        "decision_id": f"d_{number}",
        "value": f"acct_{number}",
        "issued_at": rfc3339(NOW_S + 60 * number),
        "expires_at": rfc3339(NOW_S + 60 * number + 3_600),
    }
    return msgspec.structs.replace(EXAMPLE, **(told | changes))


def record(made: Decision | bytes | None, offset: int = 0, partition: int = 0) -> Record:
    value = msgspec.json.encode(made) if isinstance(made, Decision) else made
    return Record("pairwatch.decisions", partition, offset, b"key", value)


async def listed(records: Iterable[Record], query: Query, limit: int = 100) -> list[str]:
    async def arrive() -> AsyncIterator[Record]:
        for each in records:
            yield each

    return [each.decision.decision_id for each in await newest(arrive(), Reader(query), limit)]


# What is chosen.


async def test_decisions_of_all_partitions_come_in_the_order_of_event_time() -> None:
    records = [record(decision(n), offset=i, partition=n % 2) for i, n in enumerate([3, 1, 0, 2])]
    assert await listed(records, Query()) == ["d_0", "d_1", "d_2", "d_3"]


async def test_only_the_newest_are_kept() -> None:
    records = [record(decision(n), offset=n) for n in (4, 0, 3, 1, 2)]
    assert await listed(records, Query(), limit=2) == ["d_3", "d_4"]


async def test_a_repeated_decision_is_shown_once() -> None:
    records = [record(decision(1), offset=i) for i in range(3)]
    assert await listed(records, Query()) == ["d_1"]


async def test_repeats_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "SEEN_MAX", 2)
    reader = Reader(Query())
    shown = [reader.read(record(decision(n), offset=i)) for i, n in enumerate([1, 2, 3, 3, 2, 1])]
    assert [each.decision.decision_id for each in shown if each] == ["d_1", "d_2", "d_3", "d_1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query(accounts=("acct_1",)), ["d_1"]),
        (Query(accounts=("acct_1", "acct_2")), ["d_1", "d_2"]),
        (Query(actions=("ban",)), ["d_2"]),
        (Query(scenarios=("request-flood",)), ["d_3"]),
        (Query(since_s=NOW_S + 120), ["d_2", "d_3"]),
        (Query(accounts=("acct_1",), actions=("ban",)), []),
    ],
)
async def test_only_what_is_asked_for_is_shown(query: Query, ids: list[str]) -> None:
    records = [
        record(decision(0, scope="group", value="acct_1"), offset=0),
        record(decision(1), offset=1),
        record(decision(2, action="ban", limit_per_minute=None), offset=2),
        record(decision(3, scenario="request-flood"), offset=3),
    ]
    assert await listed(records, query) == ids


@pytest.mark.parametrize(
    "strange",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b"{}",
        msgspec.json.encode(decision(1, issued_at="yesterday")),
        msgspec.json.encode(decision(1, expires_at="0001-01-01T00:00:00+01:00")),
    ],
)
def test_a_message_that_is_no_decision_is_skipped_and_counted(strange: bytes | None) -> None:
    reader = Reader(Query())
    assert reader.read(record(strange)) is None
    assert reader.strange == 1
    assert reader.read(record(decision(1))) is not None


@pytest.mark.parametrize(
    ("text", "since_s"),
    [
        ("90s", NOW_S - 90),
        ("30m", NOW_S - 1_800),
        ("2h", NOW_S - 7_200),
        ("7d", NOW_S - 604_800),
        ("2024-03-02T19:00:00Z", NOW_S - 3_600),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, since_s: float) -> None:
    assert parse_since(text, NOW_S) == since_s


@pytest.mark.parametrize("text", ["", "2", "2 h", "h", "-2h", "yesterday", "2024-03-02", "٣h"])
def test_any_other_since_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^--since: "):
        parse_since(text, NOW_S)


# The command.


def environment(settings: Settings) -> dict[str, str]:
    return {
        "PAIRWATCH_KAFKA__BROKERS": settings.kafka.brokers,
        "PAIRWATCH_TOPICS__DECISIONS": settings.topics.decisions,
    }


async def run(settings: Settings, *arguments: str) -> Result:
    runner = CliRunner(env=environment(settings))
    return await asyncio.to_thread(runner.invoke, decisions.command, arguments)


@pytest.fixture
async def producer(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@pytest.fixture
async def topic(settings_for_broker: Settings) -> str:
    """The topic for decisions, empty, with two partitions."""
    name = settings_for_broker.topics.decisions
    admin = AIOKafkaAdminClient(bootstrap_servers=settings_for_broker.kafka.brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()
    return name


async def send(producer: AIOKafkaProducer, topic: str, *made: Decision | bytes) -> None:
    for each in made:
        value = msgspec.json.encode(each) if isinstance(each, Decision) else each
        key = each.key.encode() if isinstance(each, Decision) else None
        await producer.send_and_wait(topic, value, key=key)


async def test_an_empty_topic_gives_an_empty_list(
    settings_for_broker: Settings, topic: str
) -> None:
    result = await run(settings_for_broker)
    assert (result.exit_code, result.output) == (0, "")


async def test_decisions_are_listed_a_line_each_and_strange_messages_are_counted(
    settings_for_broker: Settings, topic: str, producer: AIOKafkaProducer
) -> None:
    await send(producer, topic, decision(2), decision(1), b"{", decision(1), decision(0))
    result = await run(settings_for_broker, "--limit", "2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[4] for line in lines] == ["acct_1", "acct_2"]
    # The id is what `explain` and the answers to a decision are told.
    assert [line.split()[-1] for line in lines] == ["d_1", "d_2"]
    assert result.stderr == (
        f"pairwatch: skipped 1 of the messages in {topic}: "
        "not a decision that this version understands\n"
    )


async def test_json_has_every_field_as_it_came_on_one_line(
    settings_for_broker: Settings, topic: str, producer: AIOKafkaProducer
) -> None:
    later = msgspec.to_builtins(decision(1)) | {"added_later": "x\ny"}
    await send(producer, topic, orjson.dumps(later, option=orjson.OPT_INDENT_2))
    result = await run(settings_for_broker, "--json")
    assert [orjson.loads(line) for line in result.stdout.splitlines()] == [
        orjson.loads(orjson.dumps(later))
    ]


async def test_since_also_finds_what_a_fast_clock_issued_ahead_of_kafka(
    settings_for_broker: Settings, topic: str, producer: AIOKafkaProducer
) -> None:
    for number in (0, 1, 2):
        await producer.send_and_wait(
            topic,
            msgspec.json.encode(decision(number)),
            timestamp_ms=int((NOW_S + 60 * number - 1_800) * 1_000),
        )
    result = await run(settings_for_broker, "--json", "--since", rfc3339(NOW_S + 60))
    ids = [orjson.loads(line)["decision_id"] for line in result.stdout.splitlines()]
    assert ids == ["d_1", "d_2"]


async def test_follow_shows_what_was_there_and_then_what_comes_until_it_is_interrupted(
    settings_for_broker: Settings, topic: str, producer: AIOKafkaProducer
) -> None:
    await send(producer, topic, decision(0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from streams.commands import main; main()",
        "decisions",
        "--follow",
        "--json",
        cwd=ROOT,
        env=os.environ | environment(settings_for_broker),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            shown = [orjson.loads(await process.stdout.readline())["decision_id"]]
            for number in (1, 2):
                await send(producer, topic, decision(0), decision(number))
                shown.append(orjson.loads(await process.stdout.readline())["decision_id"])
            process.send_signal(signal.SIGINT)
            rest, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert shown == ["d_0", "d_1", "d_2"]
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_a_topic_that_does_not_exist_is_named_and_not_created(
    settings_for_broker: Settings,
) -> None:
    for _ in range(2):
        result = await run(settings_for_broker)
        assert isinstance(result.exception, OperatorError)
        assert str(result.exception) == (
            f"there is no topic {settings_for_broker.topics.decisions} yet; "
            "`pairwatch topics` creates it"
        )


def test_a_broker_that_can_t_be_reached_is_one_line_and_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from streams.commands import main; main()", "decisions"],
        cwd=ROOT,
        env=os.environ | {"PAIRWATCH_KAFKA__BROKERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pairwatch: no Kafka broker at 127.0.0.1:1 ")
    assert len(done.stderr.splitlines()) == 1
