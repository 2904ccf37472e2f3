"""Playing the incident: events in, decisions out, until the worker has made all of it durable."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple, Protocol

import aiohttp
import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from models.decision import Decision
from streams.consume import Log, open_log
from streams.demo.feed import Feed
from streams.demo.stage import Stage
from streams.kafka import client_arguments, running
from streams.settings import Settings
from streams.simulate import Label, World

#: How often the worker is asked how far it is: what the eye takes for live.
_POLL_S = 0.2
_ANSWER_TIMEOUT_S = 10.0
#: It starts within seconds and then moves all the time; an overloaded machine needs patience.
STALLED_S_MAX = 60.0
#: Every one of these is the end of an event; the simulator makes none for the dead letters.
_ENDS = ("judged", "duplicate", "late")


class Progress(NamedTuple):
    """How far the worker is: `event_time_s` is Unix seconds, 0 before the first event."""

    event_time_s: float
    events: int
    events_per_s: float
    accounts: int


class Audience(Protocol):
    """Whoever watches."""

    def progressed(self, progress: Progress) -> None:
        """Learn how far the worker is."""

    def decided(self, decision: Decision) -> None:
        """Learn of a decision, in the order in which they come."""


class Played(NamedTuple):
    """What came of it: what was sent, what was decided, and how long it took."""

    feed: Feed
    decisions: list[Decision]
    seconds: float


class _Counts(NamedTuple):
    events: int = 0
    decisions: int = 0
    accounts: int = 0


async def play(stage: Stage, world: World, labels: list[Label], audience: Audience) -> Played:
    """Send the world's events through the worker, and wait until it is done with all of them.

    Raises
    ------
    WorkerFailedError
        The worker ended, or has not moved for `STALLED_S_MAX`.
    OperatorError
        The broker fails.
    """
    settings = stage.settings
    attackers = [label for label in labels if not label.honest]
    feed = Feed(world.events(), attackers, settings.topics.partitions)
    # A few dozen: an account that already has a decision in force hardly ever gets another.
    decisions: list[Decision] = []
    async with (
        open_log(settings.kafka, settings.topics.decisions) as log,
        running(AIOKafkaAdminClient(**client_arguments(settings.kafka)), settings.kafka) as admin,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_ANSWER_TIMEOUT_S)) as http,
    ):
        tasks = [
            asyncio.create_task(feed.run(settings)),
            asyncio.create_task(_follow(log, decisions, audience)),
        ]
        watch = _Watch(stage, http, feed, audience)
        try:
            while True:
                for task in tasks:
                    if task.done():
                        task.result()
                counts = await watch.look()
                # Offsets are committed last: by then every decision has been acknowledged.
                if (
                    feed.done
                    and counts.events >= feed.sent
                    and counts.decisions == len(decisions)
                    and await _committed(admin, settings) == feed.sent
                ):
                    return Played(feed, decisions, watch.seconds)
                await asyncio.sleep(_POLL_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(log: Log, decisions: list[Decision], audience: Audience) -> None:
    async for record in log.follow():
        decision = msgspec.json.decode(record.value or b"", type=Decision)
        decisions.append(decision)
        audience.decided(decision)


async def _committed(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    """Return how many events have been judged and made durable."""
    source = settings.topics.accounts_source
    partitions = [TopicPartition(source, each) for each in range(settings.topics.partitions)]
    offsets = await admin.list_consumer_group_offsets(settings.kafka.group, partitions=partitions)
    return sum(max(at.offset, 0) for at in offsets.values())  # -1: none yet


class _Watch:
    """Asks the worker how far it is, and tells the audience."""

    def __init__(
        self, stage: Stage, http: aiohttp.ClientSession, feed: Feed, audience: Audience
    ) -> None:
        self._stage = stage
        self._http = http
        self._feed = feed
        self._audience = audience
        self._url = f"http://{stage.settings.metrics.listen}/metrics"
        self._last = _Counts()
        self._moved_s = time.monotonic()
        self._begun_s: float | None = None
        #: From the first event judged to the last one.
        self.seconds = 0.0

    async def look(self) -> _Counts:
        """Return the worker's counts; fails where it no longer moves."""
        self._stage.check()
        try:
            async with self._http.get(self._url) as answer:
                counts = _counts(await answer.text())
        except (aiohttp.ClientConnectionError, TimeoutError):
            counts = self._last  # not up yet, or down: the next look tells
        now_s = time.monotonic()
        if counts.events != self._last.events:
            self._begun_s = self._begun_s or now_s - _POLL_S
            self.seconds = now_s - self._begun_s
        if counts != self._last:
            self._moved_s = now_s
        elif now_s - self._moved_s > STALLED_S_MAX:
            raise self._stage.failed(f"the worker has not moved for {STALLED_S_MAX:g} s")
        self._last = counts
        self._feed.settled(counts.events)
        rate = counts.events / self.seconds if self.seconds else 0.0
        self._audience.progressed(
            Progress(self._feed.event_time_s, counts.events, rate, counts.accounts)
        )
        return counts


def _counts(text: str) -> _Counts:
    events = decisions = accounts = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "pairwatch_events_total" and sample.labels["outcome"] in _ENDS:
                events += sample.value
            elif sample.name == "pairwatch_decisions_total":
                decisions += sample.value
            elif sample.name == "pairwatch_accounts_in_memory":
                accounts = sample.value
    return _Counts(int(events), int(decisions), int(accounts))
