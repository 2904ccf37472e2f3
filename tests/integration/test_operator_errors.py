"""What an operator can mend ends the worker with status 2 and one line that says how."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.request import Request
from streams.embedded import free_port
from streams.kafka import client_arguments, running
from streams.marker import STATE_VERSION
from streams.settings import Kafka, Settings
from streams.topic_plan import changelog_topic
from streams.topics import create
from tests.brokers.choice import Broker
from tests.integration.workers import START_S, Worker, caught_up, produce, worker


async def complaint(refused: Worker) -> str:
    """Return the one line of a worker that has ended over it."""
    assert await refused.ended() == 2, refused.said
    assert "Traceback" not in refused.said
    assert " CRITICAL " not in refused.said
    lines = [line for line in refused.said.splitlines() if line.startswith("pairwatch: ")]
    assert len(lines) == 1, refused.said
    assert refused.said.endswith(lines[0] + "\n")
    return lines[0]


async def test_topics_that_are_missing(settings_for_broker: Settings, tmp_path: Path) -> None:
    with worker(settings_for_broker, tmp_path) as refused:
        line = await complaint(refused)
    assert settings_for_broker.topics.requests in line
    assert "create them with: pairwatch topics" in line


async def test_a_changelog_that_does_not_match_the_requests(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    settings = settings_for_broker
    name = changelog_topic(settings)
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        await admin.create_topics([NewTopic(name, 3, 1)])
    await create(settings)
    with worker(settings, tmp_path) as refused:
        line = await complaint(refused)
    assert f"topic {name}: it has 3 partitions, not 2" in line
    assert "pairwatch topics" in line


async def test_a_broker_that_is_not_there(tmp_path: Path) -> None:
    settings = Settings(kafka=Kafka(brokers=f"127.0.0.1:{free_port()}"))
    with worker(settings, tmp_path) as refused:
        line = await complaint(refused)
    assert settings.kafka.brokers in line
    assert refused.said == line + "\n"


async def test_a_port_that_is_taken(settings_for_broker: Settings, tmp_path: Path) -> None:
    await create(settings_for_broker)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with worker(settings_for_broker, tmp_path, listen=address) as refused:
            assert f"metrics.listen: can't listen on {address}" in await complaint(refused)


async def test_a_state_directory_that_another_worker_holds(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    await create(settings_for_broker)
    with worker(settings_for_broker, tmp_path) as first:
        await first.answers("/live", lambda status, _: status == 200)
        logged_before = len(first.said)
        with worker(settings_for_broker, tmp_path) as second:
            assert await second.ended() == 2
        assert "another worker keeps its state in" in second.said[logged_before:]
        await first.ready()
        await first.stop()


async def test_a_name_that_a_later_worker_has_taken(
    settings_for_broker: Settings, tmp_path: Path, kafka: Broker
) -> None:
    named = msgspec.structs.replace(settings_for_broker.kafka, instance_id="the-one")
    settings = msgspec.structs.replace(settings_for_broker, kafka=named)
    await create(settings)
    with worker(settings, tmp_path / "a") as first:
        await first.ready()
        with worker(settings, tmp_path / "b") as second:
            line = await complaint(first)
            assert f"kafka.instance_id: another worker has joined the group {named.group}" in line
            assert "as the-one, and this one gives way" in line
            await second.ready()
            await produce(settings, [Request(START_S, "r", "ann", "view")] * 20, partition=0)
            await second.handled(20)
            await second.stop()
    assert "kafka.instance_id" not in second.said


async def test_a_state_directory_that_can_not_be_made(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    with worker(settings_for_broker, tmp_path) as refused:
        line = await complaint(refused)
    assert f"state.directory: can't keep state in {tmp_path / 'state'}: " in line


async def test_requests_read_directly_in_a_group_that_keys_them_anew(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    settings = settings_for_broker
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=True)
    await used(settings, tmp_path / "a")
    with worker(msgspec.structs.replace(settings, topics=topics), tmp_path / "b") as refused:
        line = await complaint(refused)
    assert (
        f"the group {settings.kafka.group} has read {settings.topics.requests_by_account}" in line
    )
    assert "start with another kafka.group and an empty state.directory" in line


async def test_state_of_requests_that_were_read_from_another_topic(
    settings_for_broker: Settings, tmp_path: Path
) -> None:
    settings = settings_for_broker
    topics = msgspec.structs.replace(settings.topics, keyed_by_account=True)
    await used(msgspec.structs.replace(settings, topics=topics), tmp_path)
    await create(settings)
    with worker(settings, tmp_path) as refused:
        await produce(settings, [Request(START_S, "s", "ann", "view")] * 20, partition=0)
        line = await complaint(refused)
    assert f"is of requests from {settings.topics.requests}, and these settings" in line


async def set_marker(settings: Settings, version: int, offset: int, *rest: object) -> None:
    """Write the state's marker of the first partition as another worker would."""
    producer = AIOKafkaProducer(**client_arguments(settings.kafka))
    await producer.start()
    try:
        marker = msgspec.msgpack.encode([version, offset, *rest])
        await producer.send_and_wait(changelog_topic(settings), marker, key=b"m", partition=0)
    finally:
        await producer.stop()


async def test_state_of_a_newer_version(
    settings_for_broker: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await create(settings_for_broker)
    await set_marker(settings_for_broker, STATE_VERSION + 1, 0, "unheard of")
    with worker(settings_for_broker, tmp_path) as refused:
        assert "run the newer pairwatch again" in await complaint(refused)


async def used(settings: Settings, directory: Path) -> None:
    """Let a worker judge twenty events."""
    await create(settings)
    with worker(settings, directory) as first:
        await produce(settings, [Request(START_S, "r", "ann", "view")] * 20, partition=0)
        await first.handled(20)
        await caught_up(settings, 1, first)
        await first.stop()


async def make_anew(settings: Settings, topic: str) -> None:
    """Delete a topic and create it again."""
    async with running(
        AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka
    ) as admin:
        await admin.delete_topics([topic])
    await create(settings)


async def test_requests_made_anew_below_their_state(
    settings_for_broker: Settings, tmp_path: Path, kafka: Broker
) -> None:
    topics = msgspec.structs.replace(settings_for_broker.topics, keyed_by_account=True)
    settings = msgspec.structs.replace(settings_for_broker, topics=topics)
    await used(settings, tmp_path)
    await make_anew(settings, settings.topics.requests)
    await produce(settings, [Request(START_S, "r", "ann", "view")] * 10, partition=0)
    with worker(settings, tmp_path) as refused:
        assert "was read up to offset 20 and goes on at 0;" in await complaint(refused)


async def test_a_changelog_made_anew_below_the_state_on_disk(
    settings_for_broker: Settings, tmp_path: Path, kafka: Broker
) -> None:
    await used(settings_for_broker, tmp_path)
    await make_anew(settings_for_broker, changelog_topic(settings_for_broker))
    with worker(settings_for_broker, tmp_path) as refused:
        assert "empty the directory" in await complaint(refused)
