"""The shippers' configurations send to the topic that the worker reads, with a key it can trust.

No shipper is started here: what is checked is what pairwatch needs of each configuration.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from streams.settings import Settings
from tests.deploy.container.tools import DEPLOY

SHIPPERS = DEPLOY / "shippers"
TOPIC = Settings().topics.requests


def read(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((SHIPPERS / name).read_text())
    return parsed


@pytest.mark.parametrize("name", ["vector/vector.yaml", "kong/vector.yaml"])
def test_vector_keys_by_account_as_kafka_does_and_keeps_the_order(name: str) -> None:
    sink = read(name)["sinks"]["kafka"]
    assert sink["topic"] == TOPIC
    assert sink["key_field"] == "account_id"
    assert sink["encoding"] == {"codec": "json"}
    assert sink["librdkafka_options"] == {
        "partitioner": "murmur2_random",
        "enable.idempotence": "true",
    }


@pytest.mark.parametrize("name", ["vector/vector.yaml", "kong/vector.yaml"])
def test_vectors_pipeline_is_connected_and_its_programs_exist(name: str) -> None:
    whole = read(name)
    known = {*whole["sources"], *whole["transforms"]}
    for step in (*whole["transforms"].values(), *whole["sinks"].values()):
        assert {*step["inputs"]} <= known
        if "file" in step:
            program = step["file"].removeprefix("/etc/vector/")
            assert any((SHIPPERS / folder / program).exists() for folder in ("vector", "kong"))


@pytest.mark.parametrize("name", ["vector/vector.yaml", "kong/vector.yaml"])
def test_vector_waits_for_kafka_on_disk_within_a_bound(name: str) -> None:
    buffer = read(name)["sinks"]["kafka"]["buffer"]
    assert (buffer["type"], buffer["when_full"]) == ("disk", "block")
    assert buffer["max_size"] > 0


def test_fluent_bit_keys_by_account_as_kafka_does_and_calls_the_script() -> None:
    pipeline = read("fluent-bit/fluent-bit.yaml")["pipeline"]
    (filter_,) = pipeline["filters"]
    script = (SHIPPERS / "fluent-bit" / "request.lua").read_text()
    assert f"function {filter_['call']}(tag, timestamp, line)" in script
    assert filter_["script"].endswith("/request.lua")
    (output,) = pipeline["outputs"]
    assert (output["topics"], output["format"]) == (TOPIC, "json")
    assert output["message_key_field"] == "account_id"
    assert output["rdkafka.partitioner"] == "murmur2_random"
    assert output["storage.total_limit_size"]


def test_filebeat_sends_the_contracts_fields_alone() -> None:
    whole = read("filebeat/filebeat.yml")
    script, kept = whole["processors"]
    assert script["script"]["file"].endswith("/request.js")
    schema = yaml.safe_load((DEPLOY.parent / "streams/schemas/request.schema.json").read_text())
    assert {*kept["include_fields"]["fields"]} <= schema["properties"].keys()
    assert {*schema["required"]} <= {*kept["include_fields"]["fields"]}
    assert whole["output.kafka"]["topic"] == TOPIC
    assert whole["output.kafka"]["partition.hash"]["hash"] == ["account_id"]
    assert whole["queue.disk"]["max_size"]


def test_the_collector_sends_the_body_alone() -> None:
    whole = read("otel/collector.yaml")
    exporter = whole["exporters"]["kafka"]
    assert exporter["logs"] == {"topic": TOPIC, "encoding": "raw"}
    pipeline = whole["service"]["pipelines"]["logs"]
    assert pipeline["processors"] == ["transform", "filter"]
    assert {*pipeline["receivers"]} <= whole["receivers"].keys()
    assert {*pipeline["processors"]} <= whole["processors"].keys()


def test_kong_speaks_to_the_vector_beside_it() -> None:
    plugins = {each["name"]: each["config"] for each in read("kong/kong.yaml")["plugins"]}
    source = read("kong/vector.yaml")["sources"]["kong"]
    assert plugins["http-log"]["http_endpoint"] == f"http://{source['address']}"
    assert plugins["http-log"]["queue"]["max_entries"]
