"""Producers that write only while the group counts on this worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.produce import ProduceRequest
from faust.transport.drivers import aiokafka as driver


class SessionOverError(KafkaError):  # type: ignore[misc]
    """Something was not sent: somebody else may have the partition by now."""

    retriable = False


def fence(producer: Any, may_send: Callable[[], Awaitable[bool]]) -> None:
    """Let each request of a producer leave only if it may, as it leaves.

    What a suspended process was about to send would otherwise leave when it wakes up, and fall
    among what its successor has written since. (Kafka's transactions would fence it off too, with
    a producer for each partition and markers that readers must know to pass.)

    Parameters
    ----------
    producer
        aiokafka's, which has not sent anything yet.
    may_send
        Asked last before each request; whatever it has waited for, its answer is of the moment.
    """
    client = producer.client
    send = client.send

    async def send_if_it_may(node_id: int, request: Any, **named: Any) -> Any:
        if isinstance(request, ProduceRequest):
            # Connected first: nothing is to come between the answer and what is sent.
            await client.ready(node_id, **named)
            if not await may_send():
                raise SessionOverError()
        return await send(node_id, request, **named)

    client.send = send_if_it_may


class FencedProducer(driver.Producer):  # type: ignore[misc]
    """Sends nothing for a worker on which the group counts no more.

    Nor is anything of one generation sent in the next: Faust flushes all of it in between.
    """

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        fence(producer, self.transport.app.is_member)
        return producer
