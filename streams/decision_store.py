"""For those who enforce: the decisions in force, kept up to date from Kafka.

It reads the compacted state topic alone: that holds all that is in force, so a process that
starts from nothing needs neither a disk nor the log of decisions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from models.decision import Decision
from streams.consume import Log, open_log
from streams.errors import OperatorError
from streams.in_force import NO_LINKS, InForce
from streams.settings import Kafka

#: How often the store looks how fresh it is.
_WATCH_INTERVAL_S = 0.25
#: Kafka is asked again this soon after it could not be reached.
_RETRY_S = 2.0

log = logging.getLogger("pairwatch")


class DecisionStore:
    """What is in force, kept up to date from Kafka.

    Run `follow` in an event loop, or `following_in_thread` beside a synchronous server. `applies`
    may be called from any thread, takes about a microsecond and never waits. While Kafka is away
    the store goes on answering from what it knows, decisions run out in time, and `lag_s` grows.

    Parameters
    ----------
    kafka
        How to reach the brokers.
    topic
        The state topic, `settings.topics.decisions_state`.
    """

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._in_force = InForce()
        self._ready = threading.Event()
        self._fresh_at_s = float("-inf")
        self._news = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the present state has been read. Once true it stays so: old news beat none."""
        return self._ready.is_set()

    @property
    def lag_s(self) -> float:
        """How old the state may be, seconds; infinite before it is ready.

        Kafka said so long ago that there was nothing more. Half a second is normal, since that is
        how long it keeps a reader waiting.
        """
        return max(0.0, time.time() - self._fresh_at_s)

    @property
    def in_force(self) -> InForce:
        """The decisions now known; another object once they have been read anew."""
        return self._in_force

    def applies(
        self, account_id: str, now_s: float, links: Mapping[str, str] = NO_LINKS
    ) -> Decision | None:
        """Return the strictest decision in force for an account; see `InForce.applies`."""
        return self._in_force.applies(account_id, now_s, links)

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Block until the present state has been read; return whether it has."""
        return self._ready.wait(timeout_s)

    async def changed(self, timeout_s: float) -> None:
        """Wait until what is in force has changed since the last call, at most `timeout_s`.

        For one task of the event loop in which the store follows.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    async def follow(self) -> NoReturn:
        """Read the topic and follow it until cancelled; a broker that is away is waited for."""
        while True:
            try:
                await self._read_and_follow()
            except OperatorError as error:
                log.warning("%s; trying again in %g s", error, _RETRY_S)
                await asyncio.sleep(_RETRY_S)

    @contextmanager
    def following_in_thread(self) -> Iterator[None]:
        """Follow in a thread of its own for as long as the block lasts.

        Raises
        ------
        Exception
            At the end of the block: whatever ended the thread before.
        """
        with asyncio.Runner() as runner, ThreadPoolExecutor(1, "decisions") as executor:
            loop = runner.get_loop()
            task = loop.create_task(self.follow())

            def run() -> None:
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)

            running = executor.submit(run)
            try:
                yield
            finally:
                loop.call_soon_threadsafe(task.cancel)
                running.result()

    async def _read_and_follow(self) -> None:
        """Read the topic anew and follow it; returns when it has been given more partitions."""
        # Not into what is known: a tombstone that came while we were away may be gone by now.
        fresh = InForce()
        async with open_log(self._kafka, self._topic) as topic:
            async for record in topic.backlog():
                fresh.apply(record.key, record.value, time.time())
            self._in_force = fresh
            self._news.set()
            self._fresh_at_s = time.time()
            self._ready.set()
            following = asyncio.create_task(self._apply_news(topic, fresh))
            try:
                await self._watch(topic, following)
            finally:
                following.cancel()
                await asyncio.wait([following])

    async def _apply_news(self, topic: Log, in_force: InForce) -> None:
        async for record in topic.follow():
            if in_force.apply(record.key, record.value, time.time()):
                self._news.set()

    async def _watch(self, topic: Log, following: asyncio.Task[None]) -> None:
        """Measure how fresh the state is, until following fails or misses partitions."""
        consumer: Any = topic._consumer
        partitions = consumer.assignment()
        while not following.done():
            await asyncio.wait([following], timeout=_WATCH_INTERVAL_S)
            self._in_force.sweep(time.time())
            if await _is_at_end(consumer):
                answered_ms = min(consumer.last_poll_timestamp(p) for p in partitions)
                self._fresh_at_s = max(self._fresh_at_s, answered_ms / 1_000)
            # Keys move to other partitions with their number, so all is read anew.
            if len(consumer.partitions_for_topic(self._topic) or partitions) > len(partitions):
                return
        following.result()


async def _is_at_end(consumer: Any) -> bool:
    """Return whether all has been read that Kafka told of in its latest answers."""
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        try:
            # It waits for a position that is being looked up, for as long as Kafka is away.
            async with asyncio.timeout(_WATCH_INTERVAL_S):
                if end is None or await consumer.position(partition) < end:
                    return False
        except TimeoutError:
            return False
    return True
