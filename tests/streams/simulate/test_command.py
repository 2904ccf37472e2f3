"""`pairwatch simulate` writes traffic, labels and a summary, and says what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from models.request import Request
from streams.commands import main
from streams.settings import Settings
from streams.simulate import MIXES, Label, simulate
from streams.topics import create

SMALL = ["--accounts", "100", "--days", "0.1", "--seed", "5"]


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_traffic_and_labels_go_to_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, labels = tmp_path / "events.jsonl", tmp_path / "labels.jsonl"
    run("steady-scraper", *SMALL, "--out", str(events), "--labels", str(labels))
    world = simulate("steady-scraper", seed=5, accounts=100, days=0.1)
    lines = events.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Request) for line in lines] == list(world.events())
    found = [msgspec.json.decode(line, type=Label) for line in labels.read_bytes().splitlines()]
    assert found == world.labels
    written = capsys.readouterr()
    assert written.out == ""
    assert f"{len(lines):,} events" in written.err
    assert "1 of them attacking" in written.err


def test_standard_output_carries_nothing_but_events(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    run("calm", *SMALL)
    lines = capfdbinary.readouterr().out.splitlines()
    assert [msgspec.json.decode(line, type=Request) for line in lines]


def test_events_go_to_the_topic_of_the_settings(
    settings_for_broker: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = settings_for_broker.topics.requests
    monkeypatch.setenv("PAIRWATCH_KAFKA__BROKERS", settings_for_broker.kafka.brokers)
    monkeypatch.setenv("PAIRWATCH_TOPICS__REQUESTS", topic)
    asyncio.run(create(settings_for_broker))
    run("calm", *SMALL, "--kafka", "--rate", "100000")
    sent = list(simulate("calm", seed=5, accounts=100, days=0.1).events())
    assert asyncio.run(first_in(topic, settings_for_broker, len(sent))) == {
        event.request_id for event in sent
    }
    assert f"{len(sent):,} events" in capsys.readouterr().err


async def first_in(topic: str, settings: Settings, count: int) -> set[str]:
    """Read so many events from the beginning of a topic and return their request ids."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka.brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30.0):
            messages = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    return {msgspec.json.decode(message.value, type=Request).request_id for message in messages}


def test_attacks_and_intensity_can_be_chosen(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    out = ["--out", str(tmp_path / "events.jsonl"), "--labels", str(labels)]
    run(
        "calm",
        *SMALL,
        "--attack",
        "slow-drip",
        "--attack",
        "id-walk",
        "--intensity",
        "gentle",
        *out,
    )
    found = [msgspec.json.decode(line, type=Label) for line in labels.read_bytes().splitlines()]
    attackers = {label.attack: label.intensity for label in found if not label.honest}
    assert attackers == {"slow-drip": 0.4, "id-walk": 0.4}


@pytest.mark.parametrize("arguments", [["--list"], []])
def test_the_list_names_every_scenario_with_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run(*arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(MIXES)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "nonsense"),
        (["calm", "--attack", "nonsense"], "nonsense"),
        (["calm", "--intensity", "fierce"], "fierce"),
        (["calm", "--accounts", "1"], "accounts"),
        (["calm", "--rate", "5"], "--kafka"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    error = refused(capsys, *arguments)
    assert named in error
    assert len(error.splitlines()) == 1
