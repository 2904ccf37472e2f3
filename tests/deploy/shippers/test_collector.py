"""The OpenTelemetry collector, where there is one, sends the events that the worker reads.

`PAIRWATCH_TEST_OTELCOL` names a collector with the OTLP receiver, the filter and transform
processors and the Kafka exporter, such as `otelcol-contrib`; no package brings one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiokafka import AIOKafkaConsumer

from models.request import Request
from streams import topics
from streams.codec import decode_request
from streams.embedded import free_port
from streams.settings import Settings
from tests.brokers.kafka import KafkaCluster
from tests.contract import assert_valid_request
from tests.deploy.container.tools import DEPLOY
from tests.deploy.enforcement.programs import running
from tests.deploy.shippers.lines import CASES

KEY = "a key of the gateways alone"
_ARRIVED_TIMEOUT_S = 60.0


@pytest.fixture
def collector() -> str:
    path = os.environ.get("PAIRWATCH_TEST_OTELCOL")
    if path is None:
        pytest.skip("PAIRWATCH_TEST_OTELCOL names no collector")
    return path


def configuration(settings: Settings, port: int) -> dict[str, Any]:
    """Return the example's, fed over HTTP, keeping nothing on disk, with the test's topic."""
    whole: dict[str, Any] = yaml.safe_load((DEPLOY / "shippers/otel/collector.yaml").read_text())
    protocols = {"http": {"endpoint": f"127.0.0.1:{port}"}}
    whole["receivers"] = {"otlp": {"protocols": protocols}}
    del whole["extensions"], whole["service"]["extensions"]
    del whole["exporters"]["kafka"]["sending_queue"]["storage"]
    whole["exporters"]["kafka"]["logs"]["topic"] = settings.topics.requests
    whole["service"]["pipelines"]["logs"]["receivers"] = ["otlp"]
    whole["service"]["telemetry"] = {"metrics": {"level": "none"}}
    return whole


def expected() -> list[Request]:
    """Return the requests of all cases, links hashed as the collector does it."""
    requests = []
    for _, event in CASES.values():
        if event is None:
            continue
        links = {
            kind: hashlib.sha256(f"{KEY}:{value}".encode()).hexdigest()
            for kind, value in event.get("links", {}).items()
        }
        sent = json.dumps(event | {"links": links}).encode()
        requests.append(decode_request(sent, time.time()))
    return requests


async def test_each_line_becomes_its_event(
    collector: str,
    kafka: KafkaCluster,
    settings_for_broker: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await topics.create(settings_for_broker)
    monkeypatch.setenv("KAFKA_BROKERS", kafka.bootstrap)
    monkeypatch.setenv("PAIRWATCH_PSEUDONYM_KEY", KEY)
    port, path = free_port(), tmp_path / "collector.yaml"
    path.write_text(yaml.safe_dump(configuration(settings_for_broker, port), width=10_000))
    checked = subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        [collector, "validate", "--config", str(path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    records = [{"body": {"stringValue": json.dumps(line)}} for line, _ in CASES.values()]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    with running([collector, "--config", str(path)], tmp_path / "collector.log", port):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/v1/logs", json=logs) as answer,
        ):
            assert answer.status == 200
        values = await arrived(settings_for_broker, len(expected()))
    for value in values:
        assert_valid_request(value)
    sent = [decode_request(value, time.time()) for value in values]
    assert sorted(map(repr, sent)) == sorted(map(repr, expected()))


async def arrived(settings: Settings, count: int) -> list[bytes]:
    """Wait for so many messages."""
    consumer = AIOKafkaConsumer(
        settings.topics.requests,
        bootstrap_servers=settings.kafka.brokers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        values: list[bytes] = []
        async with asyncio.timeout(_ARRIVED_TIMEOUT_S):
            while len(values) < count:
                values.append((await consumer.getone()).value)
        return values
    finally:
        await consumer.stop()
