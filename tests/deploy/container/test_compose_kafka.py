"""Apache Kafka itself takes the broker's settings of `compose.yaml`; topics can be created there.

Containers can't run in the tests: the variables are turned into properties as the image does.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import topics
from streams.embedded import free_port, spawn, stop
from streams.settings import load
from tests.brokers.jars import classpath, java
from tests.deploy.container.test_compose import SERVICES

_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 20.0
_CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"  # any; the image brings one of its own

pytestmark = pytest.mark.kafka


def properties(directory: Path, ports: dict[str, int]) -> str:
    """Return the broker's properties, with this machine's addresses in place of the container's."""
    told = SERVICES["kafka"]["environment"] | {"KAFKA_LOG_DIRS": str(directory / "data")}
    lines = []
    for name, value in told.items():
        if name == "KAFKA_HEAP_OPTS":  # the start script's
            continue
        for port, own in ports.items():
            value = re.sub(rf"(//|@)[a-z0-9.]*:{port}\b", rf"\g<1>127.0.0.1:{own}", value)
        lines.append(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}")
    return "\n".join(lines)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[str]:
    """The address for clients outside of Compose."""
    ports = {port: free_port() for port in ("9092", "9093", "9094")}
    conf, log = tmp_path / "server.properties", tmp_path / "kafka.log"
    conf.write_text(properties(tmp_path, ports))
    kafka = [java(), "-Xmx512m", "-cp", classpath()]
    formatted = subprocess.run(
        [*kafka, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(conf)],
        capture_output=True,
        text=True,
        timeout=_READY_TIMEOUT_S,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr
    with log.open("wb") as file:
        process = spawn([*kafka, "kafka.Kafka", str(conf)], file)
    try:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while "Kafka Server started" not in (said := log.read_text()):
            assert process.poll() is None, said[-10_000:]
            assert time.monotonic() < deadline, said[-10_000:]
            time.sleep(0.05)
        yield f"127.0.0.1:{ports['9094']}"
    finally:
        stop(process, _STOP_TIMEOUT_S)


async def test_the_topics_job_finds_a_broker_that_lets_it_create_them(brokers: str) -> None:
    environment = {
        name: value
        for name, value in SERVICES["topics"]["environment"].items()
        if value is not None
    }
    settings = load(environ=environment | {"PAIRWATCH_KAFKA__BROKERS": brokers})
    reports = await topics.create(settings)
    assert {report.status for report in reports} == {"created"}
    assert {report.replication for report in reports} == {1}
