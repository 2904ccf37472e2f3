"""For those who enforce: what applies to this account now?

`InForce` is the answer itself, a pure function of the messages; `DecisionStore` feeds it from
Kafka. It reads the compacted state topic alone: that holds all that is in force, so a process
that starts from nothing needs neither a disk nor the log of decisions.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

import msgspec

from models.decision import Decision
from models.request import ID_CHARS_MAX
from streams.codec import parse_rfc3339
from streams.consume import Log, open_log
from streams.errors import OperatorError
from streams.settings import Kafka

#: A decision takes some 4 KB in memory, so 400 MB at the very most. A platform that has so many
#: in force at once has something else wrong with it.
DECISIONS_MAX = 100_000
#: A decision names at most 110 ids of 128 characters, which JSON may write in six bytes each.
MESSAGE_BYTES_MAX = 2**17
#: Room is made for this share at once, so that a full store doesn't search for each message.
_EVICTED_SHARE = 0.01
#: How often what has run out is dropped from memory.
_SWEEP_INTERVAL_S = 60.0
#: How often the store looks how fresh it is.
_WATCH_INTERVAL_S = 0.25
#: Kafka is asked again this soon after it could not be reached.
_RETRY_S = 2.0
_NO_LINKS: Mapping[str, str] = {}

log = logging.getLogger("pairwatch")


class _Known(NamedTuple):
    """What is known of one subject.

    Parameters
    ----------
    revision
        The latest; a lower one is outdated.
    decision
        What is to be enforced, `None` if the latest asks for nothing.
    ends_s
        When the latest runs out, Unix seconds.
    """

    revision: int
    decision: Decision | None
    ends_s: float

    def at(self, now_s: float) -> Decision | None:
        return self.decision if now_s < self.ends_s else None


class InForce:
    """The decisions in force, from the messages of the state topic.

    One thread applies messages; any thread may ask meanwhile, since an answer is one look-up in a
    dictionary for each subject.

    A subject's message replaces the one before it, as it does in a compacted topic: a simulated
    decision, a `release`, a `review` and one that this version can't read all leave nothing to
    enforce. Only a lower revision is ignored. A tombstone carries none, so nothing is remembered
    beyond it: a worker that repeats itself after a restart may put in force again what was
    lifted, until it has caught up with its own tombstone.

    Parameters
    ----------
    decisions_max
        Subjects held at most. Beyond it those with nothing in force are forgotten first, then
        those that end soonest.
    """

    def __init__(self, decisions_max: int = DECISIONS_MAX) -> None:
        self._decisions_max = decisions_max
        self._known: dict[str, _Known] = {}
        self._next_sweep_s = 0.0
        #: Messages that are no decision which this version can enforce.
        self.strange = 0
        #: Decisions in force that were dropped for want of room.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, key: bytes | None, value: bytes | None, now_s: float) -> bool:
        """Take one message; return whether it changed what is to be enforced.

        Parameters
        ----------
        key, value
            As in Kafka: `scope:value` and the decision as JSON, or `None` for a tombstone.
        now_s
            The present moment, Unix seconds.
        """
        self.sweep(now_s)
        try:
            subject = (key or b"").decode()
        except UnicodeDecodeError:
            subject = ""
        if not subject:
            self.strange += 1
            return False
        decision = None if value is None else _read(subject, value)
        if decision is None:
            self.strange += value is not None
            lifted = self._known.pop(subject, None)
            return lifted is not None and lifted.at(now_s) is not None
        known = self._known.get(subject)
        if known is not None and decision.revision < known.revision:
            return False
        is_meant = decision.action in ("throttle", "ban") and not decision.simulated
        latest = _Known(decision.revision, decision if is_meant else None, _ends_s(decision))
        self._known[subject] = latest
        self._make_room(now_s)
        return latest.at(now_s) != (known.at(now_s) if known is not None else None)

    def applies(
        self, account_id: str, now_s: float, links: Mapping[str, str] = _NO_LINKS
    ) -> Decision | None:
        """Return the strictest decision in force for an account, `None` if there is none.

        Parameters
        ----------
        account_id
            The account that asks for something.
        now_s
            The present moment, Unix seconds.
        links
            Its links as in its requests, such as `{"org": "example.com"}`: a decision about a
            group applies to those who carry the group's link.
        """
        strictest = self._at(f"account:{account_id}", now_s)
        for kind, value in links.items():
            decision = self._at(f"group:{kind}:{value}", now_s)
            if decision is not None and (
                strictest is None or _leeway(decision) < _leeway(strictest)
            ):
                strictest = decision
        return strictest

    def all(self, now_s: float) -> list[Decision]:
        """Return every decision in force, in no particular order."""
        known = list(self._known.values())  # in one step: another thread may add to them
        return [decision for each in known if (decision := each.at(now_s)) is not None]

    def next_end_s(self, now_s: float) -> float:
        """Return when the next decision in force runs out (Unix seconds), or infinity."""
        ends = (each.ends_s for each in list(self._known.values()) if each.at(now_s) is not None)
        return min(ends, default=float("inf"))

    def sweep(self, now_s: float) -> None:
        """Drop what has run out and need not be remembered, once in a while."""
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + _SWEEP_INTERVAL_S
        self._known = {
            subject: each for subject, each in self._known.items() if now_s < each.ends_s
        }

    def _at(self, subject: str, now_s: float) -> Decision | None:
        known = self._known.get(subject)
        return known.at(now_s) if known is not None else None

    def _make_room(self, now_s: float) -> None:
        if len(self._known) <= self._decisions_max:
            return
        spare = max(1, int(self._decisions_max * _EVICTED_SHARE))
        ends = [
            (each.ends_s if each.at(now_s) is not None else 0.0, subject)
            for subject, each in self._known.items()
        ]
        for ends_s, subject in heapq.nsmallest(spare, ends):
            del self._known[subject]
            self.evicted += ends_s > 0


def _leeway(decision: Decision) -> float:
    """Return the requests per minute that a decision lets through."""
    return 0.0 if decision.action == "ban" else decision.limit_per_minute or 0.0


def _ends_s(decision: Decision) -> float:
    return float("inf") if decision.expires_at is None else parse_rfc3339(decision.expires_at)


def _read(subject: str, value: bytes) -> Decision | None:
    """Return the decision about `subject`, `None` if it is none that can be enforced."""
    if len(value) > MESSAGE_BYTES_MAX:
        return None
    try:
        decision = _decode(value)
        _ends_s(decision)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return None
    fits = (
        decision.key == subject
        # It is told to the client, in a header too.
        and 0 < len(decision.decision_id) <= ID_CHARS_MAX
        and (decision.action != "throttle" or (decision.limit_per_minute or 0.0) > 0)
    )
    return decision if fits else None


_decode = msgspec.json.Decoder(Decision).decode


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
        self, account_id: str, now_s: float, links: Mapping[str, str] = _NO_LINKS
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
