"""The brokers of the test run, and settings that keep one test's topics from another's.

`PAIRWATCH_TEST_BROKER` chooses what the `broker` fixture is: `embedded` (the default; tests that
need Apache Kafka are left out) or `kafka`. `PAIRWATCH_TEST_BROKERS=host:port` takes brokers that
run already in Apache Kafka's place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from streams.embedded import embedded_broker
from streams.settings import Settings
from tests.brokers.choice import Broker, EmbeddedBroker, settings_for
from tests.brokers.external import ExternalBroker
from tests.brokers.kafka import KafkaCluster


def _on_kafka() -> bool:
    told = os.environ.get("PAIRWATCH_TEST_BROKER", "embedded")
    if told not in ("embedded", "kafka"):
        raise pytest.UsageError(f"PAIRWATCH_TEST_BROKER={told}: expected embedded or kafka")
    return told == "kafka" or "PAIRWATCH_TEST_BROKERS" in os.environ


#: How long an example takes is a matter of the machine, and no test is about that.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    # A shell lets what it runs in the background ignore Ctrl-C, and so all that this starts would.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "broker" in fixtures:
            item.add_marker("integration")
        if "kafka" in fixtures or "kafka_cluster" in fixtures:
            item.add_marker("kafka")
    if not _on_kafka():
        left_out = [item for item in items if item.get_closest_marker("kafka")]
        items[:] = [item for item in items if not item.get_closest_marker("kafka")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def _embedded() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as bootstrap:
        yield EmbeddedBroker(bootstrap)


@pytest.fixture(scope="session")
def _kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster | ExternalBroker]:
    external = os.environ.get("PAIRWATCH_TEST_BROKERS")
    if external is not None:
        yield ExternalBroker(external)
        return
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def kafka(_kafka: KafkaCluster | ExternalBroker) -> KafkaCluster | ExternalBroker:
    """Apache Kafka, one node for the whole run; up, whatever the last test did to it."""
    if not _kafka.is_running:
        _kafka.start()
    return _kafka


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three nodes of Apache Kafka, for the tests of one module; `.nodes` stop one by one."""
    if "PAIRWATCH_TEST_BROKERS" in os.environ:
        pytest.skip("this test starts and stops three nodes of its own")
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka-cluster"), nodes=3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    """The broker this run is about: embedded, Apache Kafka, or one that runs already."""
    # By name: asking for Apache Kafka as a parameter would start it in every run.
    chosen: Broker = request.getfixturevalue("kafka" if _on_kafka() else "_embedded")
    return chosen


@pytest.fixture
def settings_for_broker(broker: Broker, tmp_path: Path) -> Settings:
    """Settings for `broker` under which this test meets no other; the topics don't exist yet."""
    return settings_for(broker, tmp_path)
