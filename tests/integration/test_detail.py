"""A worker that falls behind judges less of what floods, says so, and comes back to all of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from models.request import Request
from streams.settings import Settings
from streams.topics import create
from tests.integration.workers import START_S, decisions_in, produce, read_to_end, until, worker

_AT_ONCE = 2_000


def _flood() -> Iterator[Request]:
    """Make requests of one account, a hundred a second: nobody else is to be left out."""
    for n in itertools.count():
        yield Request(START_S + n / 100, f"f{n}", "flooder", "generate", [f"own-{n}"])


def _people() -> Iterator[Request]:
    for n in itertools.count():
        yield Request(START_S + n / 10, f"p{n}", f"person-{n % 60}", "view", [f"popular-{n % 7}"])


@pytest.mark.parametrize("is_keyed", [False, True], ids=["rekeyed", "keyed by account"])
async def test_what_floods_is_judged_in_part_while_a_partition_is_behind(
    settings_for_broker: Settings, tmp_path: Path, is_keyed: bool
) -> None:
    topics = msgspec.structs.replace(settings_for_broker.topics, keyed_by_account=is_keyed)
    limits = msgspec.structs.replace(settings_for_broker.limits, full_detail_lag_events=1)
    settings = msgspec.structs.replace(settings_for_broker, topics=topics, limits=limits)
    await create(settings)
    flood, people = _flood(), _people()

    async def send() -> None:
        some = [*itertools.islice(flood, _AT_ONCE), *itertools.islice(people, _AT_ONCE // 10)]
        await produce(settings, some)

    with worker(settings, tmp_path) as running:
        await running.ready()
        while not (await running.metrics()).get("pairwatch_shed_events_total"):
            await send()
        # Killed while it is so: whoever goes on does the same, or says other things of the same.
        running.kill()
    with worker(settings, tmp_path) as running:
        await running.ready()
        await send()
        await until(lambda: "has caught up: all is judged in full again" in running.said, running)
        await running.answers(
            "/metrics", lambda _, text: "pairwatch_reduced_detail_partitions 0.0" in text
        )
        await running.stop()
    assert "of each account 60 in a minute are judged in full from here on" in running.said
    records = await read_to_end(settings, settings.topics.decisions)
    decisions = decisions_in(records)
    assert "flooder" in {one.value for one in decisions}
    assert len({record.value for record in records}) == len(decisions)
