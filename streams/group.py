"""Whether the group whose name the settings give has read what they want it to read."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.errors import OperatorError
from streams.kafka import CONNECT_TIMEOUT_S, client_arguments, running
from streams.settings import Settings

_ASK_AGAIN_S = 0.5
#: What an operator can do about a group with another past.
OTHER_PAST_REMEDY = (
    "put the settings back, or start with another kafka.group and an empty state.directory"
)


async def check(settings: Settings) -> None:
    """Refuse to read the requests directly in a group that keys them anew, or did.

    Two such workers would take partitions from each other that only one of them can judge. (The
    state itself knows whose requests it is of; but whoever has read it is in the group already.)

    Others ask as well: once there is an answer the group can be joined, which takes some seconds in
    a new cluster, and clients that try before log errors.

    Raises
    ------
    OperatorError
        The group has read the requests by account, or can't be asked.
    """
    group, topics = settings.kafka.group, settings.topics
    asked = [TopicPartition(topics.requests_by_account, n) for n in range(topics.partitions)]
    admin = AIOKafkaAdminClient(**client_arguments(settings.kafka))
    async with running(admin, settings.kafka):
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                read = await _offsets(admin, group, asked)
        except (KafkaError, TimeoutError) as error:
            raise OperatorError(
                f"kafka.group: what the group {group} has read can't be asked of the brokers at "
                f"{settings.kafka.brokers}: {error or type(error).__name__}"
            ) from None
    if topics.keyed_by_account and any(told.offset >= 0 for told in read.values()):
        raise OperatorError(
            f"topics.keyed_by_account: it is true, and the group {group} has read "
            f"{topics.requests_by_account}: {OTHER_PAST_REMEDY}"
        )


async def _offsets(admin: Any, group: str, asked: list[TopicPartition]) -> Any:
    """Ask until there is an answer: the first group of a cluster waits until it keeps offsets."""
    while True:
        try:
            return await admin.list_consumer_group_offsets(group, partitions=asked)
        except KafkaError as error:
            if not error.retriable:
                raise
        await asyncio.sleep(_ASK_AGAIN_S)
