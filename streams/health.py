"""Health over HTTP: `/metrics`, `/live` and `/ready`, served by the worker's own event loop."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from streams.errors import OperatorError
from streams.metrics import Metrics

Partition = tuple[str, int]

#: Checkpoints come about every second and a broker's election takes some ten: a minute without
#: one, with events waiting, is no hiccup.
PROGRESS_WITHIN_S = 60.0
MINUTE_S = 60.0
#: The reasons are read on one screen; the metrics have all partitions.
PARTITIONS_NAMED_MAX = 10
#: Scrapes are short; a client that lingers must not hold up the worker's end.
SHUTDOWN_S = 1.0
#: No request has a body.
BODY_BYTES_MAX = 1_024


class DeadLetterRate:
    """Dead letters within the last minute, counted by second: 61 numbers at most.

    Parameters
    ----------
    per_minute_max
        More than this within a minute and `is_exceeded` says so.
    """

    def __init__(self, per_minute_max: int) -> None:
        self.per_minute_max = per_minute_max
        self._by_second: deque[tuple[int, int]] = deque()
        self._count = 0

    def add(self, count: int, now_s: float) -> None:
        """Note dead letters; `now_s` never runs backwards."""
        self._expire(now_s)
        second = int(now_s)
        if self._by_second and self._by_second[-1][0] == second:
            count_before = self._by_second.pop()[1]
            self._by_second.append((second, count_before + count))
        else:
            self._by_second.append((second, count))
        self._count += count

    def is_exceeded(self, now_s: float) -> bool:
        """Return whether the last minute had too many."""
        self._expire(now_s)
        return self._count > self.per_minute_max

    def last_minute(self, now_s: float) -> int:
        """Return how many the last minute had."""
        self._expire(now_s)
        return self._count

    def _expire(self, now_s: float) -> None:
        while self._by_second and self._by_second[0][0] <= now_s - MINUTE_S - 1:
            self._count -= self._by_second.popleft()[1]


class Readiness:
    """Whether the worker does its work: committed progress, not "the process lives".

    Kafka consumers are known to stop without a word, so a partition counts as well only while
    it commits or has nothing to commit. All times are seconds of one clock that never runs
    backwards, passed in.

    Parameters
    ----------
    dead_letters_per_minute
        More than this and the upstream is broken: not ready until the rate falls.
    progress_within_s
        How old the last progress of a partition may be.
    """

    def __init__(
        self, *, dead_letters_per_minute: int, progress_within_s: float = PROGRESS_WITHIN_S
    ) -> None:
        self.dead_letter_rate = DeadLetterRate(dead_letters_per_minute)
        self.progress_within_s = progress_within_s
        self._is_member = False
        self._recovering: set[Partition] = set()
        self._progress_at_s: dict[Partition, float] = {}

    def rebalancing(self) -> None:
        """Partitions are being dealt out anew: nothing is worked on."""
        self._is_member = False

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Take the whole new assignment; its state is yet to be recovered.

        An empty one is fine: a worker in reserve is ready.
        """
        self._is_member = True
        self._recovering = set(partitions)
        self._progress_at_s = {}

    def recovered(self, now_s: float) -> None:
        """Note that the state of all assigned partitions is complete; again changes nothing."""
        self._progress_at_s |= dict.fromkeys(self._recovering, now_s)
        self._recovering = set()

    def committed(self, partition: Partition, now_s: float) -> None:
        """Note that a partition's offset was committed."""
        if partition in self._progress_at_s:
            self._progress_at_s[partition] = now_s

    def lag_measured(self, partition: Partition, events: int, now_s: float) -> None:
        """Note how many events wait: none is as good as progress."""
        if events == 0:
            self.committed(partition, now_s)

    def dead_letters(self, count: int, now_s: float) -> None:
        """Note events that were set aside."""
        self.dead_letter_rate.add(count, now_s)

    def reasons(self, now_s: float) -> tuple[str, ...]:
        """Return why the worker is not ready, a sentence each; none means ready."""
        reasons = []
        if not self._is_member:
            reasons.append("no partitions are assigned yet")
        if self._recovering:
            reasons.append(f"state is being recovered for {_name(self._recovering)}")
        stuck = [
            partition
            for partition, at_s in self._progress_at_s.items()
            if now_s - at_s > self.progress_within_s
        ]
        if stuck:
            reasons.append(
                f"events wait and nothing was committed for over {self.progress_within_s:g} s "
                f"in {_name(stuck)}"
            )
        if self.dead_letter_rate.is_exceeded(now_s):
            reasons.append(
                f"{self.dead_letter_rate.last_minute(now_s):,} dead letters within a minute, "
                f"limits.dead_letters_per_minute is {self.dead_letter_rate.per_minute_max:,}: "
                "the upstream is broken"
            )
        return tuple(reasons)


async def start(
    listen: str,
    metrics: Metrics,
    readiness: Readiness,
    clock_s: Callable[[], float] = time.monotonic,
) -> web.AppRunner:
    """Serve `/metrics`, `/live` and `/ready`; the caller ends it with `runner.cleanup()`.

    Parameters
    ----------
    listen
        The setting `metrics.listen`, `host:port`; port 0 takes any free one.
    clock_s
        The clock that `readiness` is told the time by.

    Raises
    ------
    OperatorError
        The address can't be listened on.
    """
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(
        _application(metrics, readiness, clock_s),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        reason = getattr(error, "strerror", None) or str(error)
        raise OperatorError(f"metrics.listen: can't listen on {listen}: {reason}") from None
    return runner


def _application(
    metrics: Metrics, readiness: Readiness, clock_s: Callable[[], float]
) -> web.Application:
    async def serve_metrics(request: web.Request) -> web.Response:
        now_s = clock_s()
        metrics.ready.set(not readiness.reasons(now_s))
        metrics.dead_letter_breaker.set(readiness.dead_letter_rate.is_exceeded(now_s))
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    async def serve_live(_: web.Request) -> web.Response:
        # An answer at all proves that the event loop turns, which is all that "live" promises.
        return web.Response(text="alive\n")

    async def serve_ready(request: web.Request) -> web.Response:
        reasons = readiness.reasons(clock_s())
        status = 503 if reasons else 200
        if "application/json" in request.headers.get("Accept", ""):
            body = orjson.dumps({"ready": not reasons, "reasons": reasons})
            return web.Response(body=body, status=status, content_type="application/json")
        text = "".join(f"not ready: {reason}\n" for reason in reasons) or "ready\n"
        return web.Response(text=text, status=status)

    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.router.add_get("/metrics", serve_metrics)
    application.router.add_get("/live", serve_live)
    application.router.add_get("/ready", serve_ready)
    return application


def _name(partitions: Collection[Partition]) -> str:
    named = [f"{topic}:{number}" for topic, number in sorted(partitions)[:PARTITIONS_NAMED_MAX]]
    more = len(partitions) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")
