"""A worker against a broker: requests in, decisions, dead letters and state out."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest

from models.request import Request
from streams.settings import Settings
from streams.topics import create
from tests.contract import assert_valid_dead_letter, assert_valid_decision
from tests.integration.workers import (
    START_S,
    Reference,
    decisions_in,
    produce,
    read_to_end,
    traffic,
    worker,
)


def keyed(settings: Settings, is_keyed: bool = True) -> Settings:
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=is_keyed)
    return msgspec.structs.replace(settings, topics=topics)


@pytest.mark.parametrize("is_keyed", [False, True], ids=["rekeyed", "keyed by account"])
async def test_decides_as_the_detector_does_on_the_same_events(
    settings_for_broker: Settings, tmp_path: Path, is_keyed: bool
) -> None:
    settings = keyed(settings_for_broker, is_keyed)
    await create(settings)
    requests = traffic(apart_s=60.0)
    with worker(settings, tmp_path) as running:
        # Probes are answered before there is anything to do.
        not_yet = await running.answers("/ready", lambda status, _: status == 503)
        assert (await running.get("/live"))[0] == 200
        await produce(settings, requests)
        await running.handled(len(requests))
        await running.ready()
        # Or a quiet night would wake somebody: what partitions tell each other has its time.
        await running.answers("/metrics", lambda _, text: set(waiting(text)) == {0.0})
        samples = await running.metrics()
        await running.stop()
    log = await read_to_end(settings, settings.topics.accounts_source)
    expected = Reference(settings, log)
    records = await read_to_end(settings, settings.topics.decisions)

    assert len(log) == len(requests)
    assert len(expected.decisions) >= 2
    assert {d.decision_id: d for d in decisions_in(records)} == expected.by_id
    assert len(records) == len(expected.decisions)
    for record in records:
        told = assert_valid_decision(record.value or b"")
        assert record.key == f"{told['scope']}:{told['value']}".encode()
    in_force = {
        record.key: record.value
        for record in await read_to_end(settings, settings.topics.decisions_state)
    }
    # The traffic goes on for days, far beyond the end of all of them.
    assert in_force == {record.key: None for record in records}
    assert "no partitions are assigned yet" in not_yet
    assert samples["pairwatch_misrouted_events_total"] == 0
    assert samples["pairwatch_partitions_assigned"] == settings.topics.partitions
    assert samples["pairwatch_events_total judged"] == len(requests)
    assert "SIGTERM: ending with a checkpoint" in running.said
    assert "Traceback" not in running.said


def waiting(metrics: str) -> list[float]:
    """Return how many records wait, by log and partition, as far as a worker says so."""
    name = "pairwatch_committed_lag_events{"
    return [float(line.split()[1]) for line in metrics.splitlines() if line.startswith(name)]


async def test_what_is_no_request_ends_in_the_dead_letters_and_the_rest_is_judged(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    settings = settings_for_broker
    await create(settings)
    good = [Request(START_S + n, f"g{n}", "ann", "view") for n in range(4)]
    bad = {
        b"{not json": "bad-json",
        b"\xff{}": "bad-utf8",
        b'{"ts": 1709300000, "request_id": "r", "action": "view"}': "missing-field",
        b'{"ts": 1, "request_id": "r", "account_id": "a", "action": "view"}': "too-old",
        b'{"ts": 9e9, "request_id": "r", "account_id": "a", "action": "view"}': "too-far-ahead",
    }
    long_list = msgspec.structs.replace(good[0], request_id="long", user_agent="x" * 1_000_000)
    messages = [good[0], *list(bad)[:3], good[1], None, long_list, *list(bad)[3:], *good[2:]]
    limits = msgspec.structs.replace(settings.limits, dead_letters_per_minute=5)
    settings = msgspec.structs.replace(settings, limits=limits)
    with worker(settings, tmp_path) as running:
        await produce(settings, messages)
        await running.handled(len(messages))
        why = await running.answers("/ready", lambda status, text: "dead letters" in text)
        # It goes on all the same.
        await produce(settings, [Request(START_S + 10, "g10", "ann", "view")])
        await running.handled(len(messages) + 1)
        samples = await running.metrics()
        status, _ = await running.get("/live")
        await running.stop()
    letters = await read_to_end(settings, settings.topics.dead_letters)

    told = [assert_valid_dead_letter(record.value or b"") for record in letters]
    assert {base64.b64decode(letter["original_base64"]): letter["reason"] for letter in told} == {
        **bad,
        b"": "bad-json",
    }
    places = {letter["source"]["offset"] for letter in told}
    assert places == {n for n, message in enumerate(messages) if not isinstance(message, Request)}
    assert {letter["source"]["topic"] for letter in told} == {settings.topics.requests}
    assert samples["pairwatch_events_total judged"] == 6
    assert samples["pairwatch_dead_letters_total bad-json"] == 2
    assert samples["pairwatch_dead_letter_breaker_open"] == 1
    assert "6 dead letters within a minute, limits.dead_letters_per_minute is 5" in why
    assert status == 200


async def test_whoever_waits_for_room_has_a_checkpoint_at_once(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    settings = keyed(settings_for_broker)
    # Of each partition a batch at a time is live, and the next checkpoint an hour away.
    state = msgspec.structs.replace(
        settings.state,
        checkpoint_interval_s=3_600.0,
        accounts_in_memory_max=settings.topics.partitions,
    )
    settings = msgspec.structs.replace(settings, state=state)
    await create(settings)
    requests = [Request(START_S + n / 10, f"n{n}", f"new-{n}", "view") for n in range(8_000)]
    await produce(settings, requests)
    with worker(settings, tmp_path) as running:
        await running.handled(len(requests))
        samples = await running.metrics()
    assert samples["pairwatch_accounts_in_memory"] < len(requests)
