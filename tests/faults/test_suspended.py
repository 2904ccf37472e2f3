"""A worker that sleeps through its session says nothing of its old partitions when it wakes up."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest

from streams.settings import Control, Policy, Settings
from streams.settings_reader import Secret
from streams.topics import create
from tests.brokers.choice import Broker, settings_for
from tests.integration.test_steering import KEY, NIGHT_S, copying, decisions, pairwatch, people
from tests.integration.workers import caught_up, produce, read, read_to_end, until, worker

#: A worker that is suspended when it has decided something and not yet said so.
_SUSPENDED = """
import os, signal
from streams.commands import main
from streams.outbox import Outbox

send = Outbox.send

async def send_later(self, topic, key, value):
    if topic.endswith(".decisions"):
        Outbox.send = send
        os.kill(os.getpid(), signal.SIGSTOP)
    return await send(self, topic, key, value)

Outbox.send = send_later
main(["worker"])
"""


@pytest.fixture
def settings(kafka: Broker, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(
        settings_for(kafka, tmp_path),
        policy=Policy(mode="enforce", false_throttles_per_1000_account_days=20),
        control=Control(key_id="ops", key=Secret(KEY)),
    )


async def test_what_was_decided_before_a_release_is_not_said_after_it(
    settings: Settings, tmp_path: Path
) -> None:
    await create(settings)
    requests = [*people(), *copying("copier", NIGHT_S, 400)]
    topic = settings.topics.decisions_state
    with worker(settings, tmp_path / "a", _SUSPENDED) as a:
        await a.ready()
        await produce(settings, requests)
        await until(lambda: is_suspended(a.pid), a)
        with worker(settings, tmp_path / "b") as b:
            # It joins once the other's session is over.
            await decisions(settings, bool)
            await pairwatch(settings, "release", "account", "copier", "--why", "spoke to them")
            await read(settings, topic, lambda found: [r.value for r in found][-1:] == [None])
            a.signal(signal.SIGCONT)
            await a.has_partitions(1)
            await caught_up(settings, len(requests), a, b)
            await a.stop()
            await b.stop()
    assert "Traceback" not in a.said
    assert "SessionOverError" not in a.said
    assert "the group has gone on without this worker" in a.said
    *_, last = await read_to_end(settings, topic)
    assert last.value is None


def is_suspended(pid: int) -> bool:
    """Whether a process has been stopped, as Linux tells."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
