"""Creates the topics that pairwatch needs, or says how those that exist differ."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.settings import Settings
from streams.topic_plan import Topic, changelog_topic, plan

#: Creating topics on a busy cluster takes seconds; past this an operator should look at it.
ANSWER_TIMEOUT_S = 30.0
_VISIBLE_POLL_S = 0.05

#: More is at least as good for these; `retention.ms` counts -1 as for ever.
_AT_LEAST = ("retention.ms", "delete.retention.ms", "max.message.bytes", "min.insync.replicas")
#: Compared as they are. All other configs are tuning: given at creation, the operator's after.
_EXACT = ("cleanup.policy",)


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it was found.

    Parameters
    ----------
    name
        Its name in Kafka.
    status
        `created` just now; `missing` if only asked to check; `differs` from what it should be.
    partitions, replication
        As it is; as it should be where it is missing.
    differences
        What differs and what to do about it, in words.
    not_checked
        The configs of which the broker says nothing.
    """

    name: str
    status: Literal["ok", "created", "missing", "differs"]
    partitions: int
    replication: int
    differences: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()


async def create(settings: Settings) -> list[TopicReport]:
    """Create the topics that are missing and report on all; alters none that exists.

    Raises
    ------
    OperatorError
        No broker can be reached, or it refuses.
    """
    return await _run(settings, creating=True)


async def check(settings: Settings) -> list[TopicReport]:
    """Report how the topics differ from what they should be; changes nothing.

    Raises
    ------
    OperatorError
        No broker can be reached, or it refuses.
    """
    return await _run(settings, creating=False)


async def _run(settings: Settings, creating: bool) -> list[TopicReport]:
    admin = AIOKafkaAdminClient(**client_arguments(settings.kafka))
    async with running(admin, settings.kafka):
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await _reports(admin, settings, creating)
        except TimeoutError:
            why = f"no answer within {ANSWER_TIMEOUT_S:g} s"
        except KafkaError as error:
            why = str(error)
        raise OperatorError(f"topics: the brokers at {settings.kafka.brokers}: {why}")


async def _reports(admin: Any, settings: Settings, creating: bool) -> list[TopicReport]:
    brokers = len((await admin.describe_cluster())["brokers"])
    replication = settings.topics.replication or min(3, brokers)
    changelog = changelog_topic(settings)
    found = await _found(admin)
    created: set[str] = set()
    if creating:
        # The changelog comes second: it takes after the requests as they then are, whoever
        # made them.
        for is_second in (False, True):
            topics = _plan_for(settings, replication, found)
            batch = [topic for topic in topics if (topic.name == changelog) == is_second]
            missing = [topic for topic in batch if topic.name not in found]
            created |= await _create(admin, missing, replication)
            found = await _found_with(admin, {topic.name for topic in batch})
    topics = _plan_for(settings, replication, found)
    configs = await _configs(admin, [topic.name for topic in topics if topic.name in found])
    return [
        TopicReport(
            name=topic.name,
            status="created" if topic.name in created else "missing",
            partitions=topic.partitions,
            replication=replication,
        )
        if topic.name in created or topic.name not in found
        else _compare(topic, found[topic.name], configs.get(topic.name, {}), replication)
        for topic in topics
    ]


def _plan_for(settings: Settings, replication: int, found: Mapping[str, Any]) -> tuple[Topic, ...]:
    source = found.get(settings.topics.accounts_source)
    partitions = len(source["partitions"]) if source else settings.topics.partitions
    return plan(settings, replication, partitions)


async def _found(admin: Any) -> dict[str, Any]:
    # All of them: asking for one by name creates it where brokers are set to do so.
    return {topic["topic"]: topic for topic in await admin.describe_topics()}


async def _found_with(admin: Any, names: Set[str]) -> dict[str, Any]:
    """Wait until topics can be written to: brokers learn of new ones one after the other."""
    while True:  # within the caller's time limit
        found = await _found(admin)
        if all(name in found and _has_leaders(found[name]) for name in names):
            return found
        await asyncio.sleep(_VISIBLE_POLL_S)


async def _create(admin: Any, topics: Sequence[Topic], replication: int) -> set[str]:
    """Create topics; returns the names of those that nobody else had created meanwhile."""
    if not topics:
        return set()
    new = [
        NewTopic(topic.name, topic.partitions, replication, topic_configs=dict(topic.configs))
        for topic in topics
    ]
    answer = await admin.create_topics(new, timeout_ms=int(ANSWER_TIMEOUT_S * 1000))
    created = set()
    for name, code, *told in answer.topic_errors:
        error = for_code(code)
        if not code:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            why = next(filter(None, told), None) or error.__name__
            raise OperatorError(f"topics: {name} can't be created: {why}")
    return created


def _has_leaders(topic: Mapping[str, Any]) -> bool:
    return bool(topic["partitions"]) and all(p["leader"] >= 0 for p in topic["partitions"])


async def _configs(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the configs that the brokers tell: all, some or none."""
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    told: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(asked):
        for resource in answer.to_object()["resources"]:
            told[resource["resource_name"]] = {
                entry["config_names"]: entry["config_value"]
                for entry in resource["config_entries"]
                if entry["config_value"] is not None
            }
    return told


def _compare(
    topic: Topic, found: Mapping[str, Any], configs: Mapping[str, str], replication: int
) -> TopicReport:
    partitions = len(found["partitions"])
    copies = min((len(p["replicas"]) for p in found["partitions"]), default=0)
    differences = []
    if topic.remedy is not None and partitions != topic.partitions:
        differences.append(
            f"it has {partitions} partitions, not {topic.partitions}; {topic.remedy}"
        )
    if topic.is_ours and copies < replication:
        differences.append(
            f"it has {copies} replicas, not {replication}: fewer brokers may fail than you "
            "think; add replicas with kafka-reassign-partitions"
        )
    compared = [n for n in topic.configs if n in _AT_LEAST + _EXACT] if topic.is_ours else []
    differences += [
        f"{name} is {configs[name]}, not {topic.configs[name]}; "
        f"set it with kafka-configs --alter --add-config {name}={topic.configs[name]}"
        for name in compared
        if name in configs and not _is_enough(name, configs[name], topic.configs[name])
    ]
    return TopicReport(
        name=topic.name,
        status="differs" if differences else "ok",
        partitions=partitions,
        replication=copies,
        differences=tuple(differences),
        not_checked=tuple(name for name in compared if name not in configs),
    )


def _is_enough(name: str, told: str, wanted: str) -> bool:
    if name in _EXACT:
        return told == wanted
    if name == "retention.ms" and "-1" in (told, wanted):
        return told == "-1"
    return int(told) >= int(wanted)
