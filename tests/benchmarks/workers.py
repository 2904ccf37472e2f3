"""Two workers beside one, as far as two cores go."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace

import msgspec

from streams.embedded import free_port
from streams.settings import Metrics, State
from tests.benchmarks.measure import Measurement
from tests.benchmarks.subjects import Bench, measure_worker, started, watch, worker


class Workers(msgspec.Struct, frozen=True):
    """One worker on a core of its own, and two, of which one shares its core with the broker."""

    one: Measurement
    two: Measurement


def workers(bench: Bench) -> Workers:
    """Measure one worker, then two of one group that share the partitions."""
    one = measure_worker(bench, keyed=True)
    with worker(bench, keyed=True) as (first, settings):
        _, directory = bench.fresh()
        other = msgspec.structs.replace(
            settings,
            state=State(directory=str(directory / "state")),
            metrics=Metrics(listen=f"127.0.0.1:{free_port()}"),
        )
        with started(replace(bench, pin=nullcontext), other) as second:
            group, topic = settings.kafka.group, settings.topics.accounts_source
            two = asyncio.run(watch(bench, group, topic, first, second))
    return Workers(one, two)
