"""Two workers under one name: the group knows the one that came last, and the other gives way.

A static member that is told that it is unknown takes its name back from whoever has it by then,
who does the same in turn, and neither gets any work done. So before it joins again it asks who has
its name. (aiokafka's own heartbeats leave the name out, and so can't be told.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Int16, Int32, Schema, String

#: A coordinator that is away is looked for meanwhile.
_ASK_AGAIN_S = 0.5
#: FENCED_INSTANCE_ID: the name is another member's.
_FENCED = 82


class _Answer(Response):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class _HeartbeatByName(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _Ask(Request[_HeartbeatByName]):  # type: ignore[misc]
    API_KEY = 12

    def __init__(self, *told: object) -> None:
        self._told = told

    def build(self, request_struct_class: type[_HeartbeatByName]) -> _HeartbeatByName:
        return request_struct_class(*self._told)


def give_way(coordinator: Any, on_taken: Callable[[], None]) -> None:
    """Let a static member not join again once another has its name.

    Parameters
    ----------
    coordinator
        aiokafka's, which has not joined yet.
    on_taken
        Called in the coordinator's thread, and again until it is closed.
    """
    #: Who it was in the group until it was told that it is unknown.
    former: tuple[int, str] | None = None
    reset_generation, rejoin = coordinator.reset_generation, coordinator._do_rejoin_group

    def reset_noting_who_it_was() -> None:
        nonlocal former
        if coordinator.member_id:
            former = coordinator.generation, coordinator.member_id
        reset_generation()

    async def rejoin_unless_taken(subscription: Any) -> bool:
        nonlocal former
        if former is not None:
            ask = _Ask(coordinator.group_id, *former, coordinator._group_instance_id)
            try:
                error_code = (await coordinator._send_req(ask)).error_code
            except KafkaError:
                error_code = None
            if error_code == _FENCED:
                on_taken()
            if error_code in (_FENCED, None):
                await asyncio.sleep(_ASK_AGAIN_S)
                return False  # and is called again
            # From here on the broker may take it for its own successor.
            former = None
        return bool(await rejoin(subscription))

    coordinator.reset_generation = reset_noting_who_it_was
    coordinator._do_rejoin_group = rejoin_unless_taken
