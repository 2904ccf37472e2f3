"""The changelog's own producer: it writes only while the group counts on this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.fence import fence
from streams.kafka import client_arguments
from streams.outbox import PRODUCE_TIMEOUT_S, Row, send_rows
from streams.settings import Kafka


class StateLog:
    """Sends rows of state, each request only if the session still lasts as it leaves.

    Parameters
    ----------
    kafka
        The brokers.
    session_lasts
        Says so of this worker, at once.
    """

    def __init__(self, kafka: Kafka, session_lasts: Callable[[], bool]) -> None:
        self._kafka = kafka
        self._session_lasts = session_lasts
        self._producer: Any = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            **client_arguments(self._kafka),
            client_id="pairwatch-state",
            acks="all",
            # Halves what brokers keep, copy and give back, for 7 ns a byte; snappy leaves 61 % for
            # 3 ns, lz4 54 % for 18 ns.
            compression_type="zstd",
            max_batch_size=262_144,
            max_request_size=2 * 2**20,
            request_timeout_ms=int(PRODUCE_TIMEOUT_S * 1_000),
        )
        fence(self._producer, self._may_send)
        await self._producer.start()

    async def _may_send(self) -> bool:
        # Whoever waits for an answer may wait through a rebalance: then the rows are stale.
        return self._session_lasts()

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send_rows(
        self, topic: str, partition: int, rows: Iterable[Row]
    ) -> list[asyncio.Future[Any]]:
        """Hand rows to the producer; the futures are their acknowledgements.

        They fail with `SessionOverError` if the session ends before the rows leave.
        """
        return await send_rows(self._producer, topic, partition, rows)
