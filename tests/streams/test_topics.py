"""`pairwatch topics` makes what is missing, says what is wrong, and leaves alone what is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.commands import main
from streams.embedded import free_port
from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.settings import Settings
from streams.topic_plan import changelog_topic, plan
from streams.topics import TopicReport, check, create
from tests.brokers.choice import Broker, settings_for
from tests.brokers.kafka import KafkaCluster


async def make(settings: Settings, name: str, partitions: int, configs: Mapping[str, str]) -> None:
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        answer = await admin.create_topics(
            [NewTopic(name, partitions, 1, topic_configs=dict(configs))]
        )
    assert [code for _, code, *_ in answer.topic_errors] == [0]


def keyed(settings: Settings) -> Settings:
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=True)
    return msgspec.structs.replace(settings, topics=topics)


def one(reports: list[TopicReport], name: str) -> TopicReport:
    return next(report for report in reports if report.name == name)


async def test_creates_what_is_missing_and_then_finds_nothing_to_do(
    settings_for_broker: Settings,
) -> None:
    settings = settings_for_broker
    assert {report.status for report in await check(settings)} == {"missing"}
    assert {report.status for report in await create(settings)} == {"created"}
    reports = await create(settings)
    assert {report.status for report in reports} == {"ok"}
    assert {report.name: report.partitions for report in reports} == {
        settings.topics.requests: 2,
        settings.topics.requests_by_account: 2,
        settings.topics.link_activity: 2,
        settings.topics.notices: 2,
        changelog_topic(settings): 2,
        settings.topics.decisions: 2,
        settings.topics.decisions_state: 2,
        settings.topics.dead_letters: 2,
        settings.topics.control: 1,
    }


async def test_checking_creates_nothing(settings_for_broker: Settings) -> None:
    await check(settings_for_broker)
    assert {report.status for report in await check(settings_for_broker)} == {"missing"}


async def test_the_gateways_own_topic_is_taken_as_it_is(settings_for_broker: Settings) -> None:
    settings = settings_for_broker
    await make(settings, settings.topics.requests, 5, {"retention.ms": "60000"})
    report = one(await create(settings), settings.topics.requests)
    assert (report.status, report.partitions, report.differences) == ("ok", 5, ())


async def test_the_changelog_gets_as_many_partitions_as_the_requests_have(
    settings_for_broker: Settings,
) -> None:
    settings = keyed(settings_for_broker)
    await make(settings, settings.topics.requests, 5, {})
    reports = await create(settings)
    assert one(reports, changelog_topic(settings)).partitions == 5
    source = one(reports, settings.topics.requests)
    assert source.status == "differs"
    assert "it has 5 partitions, not 2; set topics.partitions = 5" in source.differences
    assert settings.topics.requests_by_account not in {report.name for report in reports}


async def test_a_changelog_that_does_not_fit_the_requests_is_reported_and_left_alone(
    settings_for_broker: Settings,
) -> None:
    settings = settings_for_broker
    await make(settings, changelog_topic(settings), 3, {"cleanup.policy": "compact"})
    for reports in (await create(settings), await check(settings)):
        changelog = one(reports, changelog_topic(settings))
        assert (changelog.status, changelog.partitions) == ("differs", 3)
        assert "stop the workers, delete this topic" in changelog.differences[0]


async def test_a_wrong_cleanup_policy_is_reported(settings_for_broker: Settings) -> None:
    settings = settings_for_broker
    await make(settings, settings.topics.decisions_state, 2, {"cleanup.policy": "delete"})
    report = one(await create(settings), settings.topics.decisions_state)
    assert report.status == "differs"
    assert "cleanup.policy is delete, not compact" in report.differences[0]


async def test_what_the_broker_does_not_tell_is_named(
    settings_for_broker: Settings, broker: Broker
) -> None:
    settings = settings_for_broker
    await make(settings, settings.topics.decisions, 2, {})
    report = one(await create(settings), settings.topics.decisions)
    # The embedded broker tells only what a topic was created with.
    if broker.kind == "embedded":
        assert set(report.not_checked) == {"cleanup.policy", "retention.ms", "min.insync.replicas"}
        assert report.status == "ok"
    else:
        assert report.not_checked == ()
        assert "retention.ms is 604800000, not 7776000000" in report.differences[0]


async def test_longer_retention_is_the_operators_choice(settings_for_broker: Settings) -> None:
    settings = settings_for_broker
    configs = {"retention.ms": "-1", "cleanup.policy": "delete", "min.insync.replicas": "1"}
    await make(settings, settings.topics.decisions, 7, configs)
    assert one(await create(settings), settings.topics.decisions).status == "ok"


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_broker_may_fail_without_a_stop(replication: int, in_sync: str) -> None:
    topics = plan(Settings(), replication, source_partitions=12)
    assert {topic.configs["min.insync.replicas"] for topic in topics} == {in_sync}


@pytest.mark.kafka
async def test_three_brokers_hold_three_replicas(
    kafka_cluster: KafkaCluster, tmp_path: Path
) -> None:
    settings = settings_for(kafka_cluster, tmp_path)
    await create(settings)
    reports = await check(settings)
    async with asyncio.timeout(60):
        # One broker may not have heard yet of what another has created.
        while any(report.status == "missing" or report.not_checked for report in reports):
            await asyncio.sleep(0.1)
            reports = await check(settings)
    assert {(report.status, report.replication) for report in reports} == {("ok", 3)}


@pytest.mark.kafka
async def test_fewer_replicas_than_wanted_are_reported(
    kafka_cluster: KafkaCluster, tmp_path: Path
) -> None:
    settings = settings_for(kafka_cluster, tmp_path)
    await make(settings, settings.topics.decisions, 2, {"retention.ms": "-1"})
    report = one(await create(settings), settings.topics.decisions)
    assert "it has 1 replicas, not 3" in report.differences[0]
    assert "min.insync.replicas is 1, not 2" in report.differences[1]


async def test_an_unreachable_broker_is_one_clear_error() -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = Settings(kafka=msgspec.structs.replace(Settings().kafka, brokers=address))
    with pytest.raises(OperatorError, match=f"no Kafka broker at {address} can be used"):
        await create(settings)


def test_the_command_tells_by_its_status_whether_all_is_right(
    settings_for_broker: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PAIRWATCH_KAFKA__BROKERS", settings_for_broker.kafka.brokers)
    monkeypatch.setenv("PAIRWATCH_KAFKA__GROUP", settings_for_broker.kafka.group)
    for name in ("requests", "requests_by_account", "decisions", "dead_letters", "control"):
        value = getattr(settings_for_broker.topics, name)
        monkeypatch.setenv(f"PAIRWATCH_TOPICS__{name.upper()}", value)

    advice = ""

    def run(*arguments: str) -> tuple[object, str]:
        nonlocal advice
        with pytest.raises(SystemExit) as ended:
            main(["topics", *arguments])
        told = capsys.readouterr()
        advice = told.err
        return ended.value.code, told.out

    assert run("--check")[0] == 1
    assert "missing; `pairwatch topics` creates them" in advice
    status, told = run("--check", "--json")
    assert (status, advice) == (1, "")
    assert {topic["status"] for topic in json.loads(told)["topics"]} == {"missing"}
    status, told = run()
    assert status == 0
    assert f"created  {settings_for_broker.topics.decisions} " in told
    assert run("--check")[0] == 0
