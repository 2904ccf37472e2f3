"""Two and four workers of one group beside one, as far as the cores go."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import msgspec

from tests.benchmarks.measure import Measurement
from tests.benchmarks.subjects import Bench, alongside, watch, worker

_COUNTS = (1, 2, 4)


class Workers(msgspec.Struct, frozen=True):
    """What so many workers judge together that share the partitions."""

    workers: int
    events_per_s: float
    cpu_seconds_per_100k: float
    measured: Measurement


def workers(bench: Bench) -> list[Workers]:
    """Measure one worker, two and four, each on the core after that of the one before.

    They share a core where there are more of them than cores, and one with the broker.
    """
    return [_measure(bench, count) for count in _COUNTS]


def _measure(bench: Bench, count: int) -> Workers:
    with ExitStack() as stack:
        process, settings = stack.enter_context(worker(bench, keyed=True))
        processes = [process]
        for number in range(1, count):
            other, _ = stack.enter_context(alongside(bench.next_core(number), settings))
            processes.append(other)
        group, topic = settings.kafka.group, settings.topics.accounts_source
        found = asyncio.run(watch(bench, group, topic, *processes))
    return Workers(count, found.events_per_s, found.cpu_seconds_per_100k, found)
