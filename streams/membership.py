"""State, readiness and metrics kept in step with the partitions that this worker is assigned."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from faust.types import TP

from streams.app import App
from streams.detail import Detailing
from streams.notices import tell_when_idle

log = logging.getLogger("pairwatch")

#: How often it is measured what has not been done yet, and how far event time has come.
_PROGRESS_INTERVAL_S = 5.0
#: The disk's use changes slowly, and walking through the files costs as much as judging a batch.
_DISK_INTERVAL_S = 60.0


def follow(app: App) -> None:
    """Follow the group's rebalances, and watch progress from then on."""
    assigned_at_s: float | None = None

    async def on_revoked(_: Any, revoked: set[TP], **__: Any) -> None:
        nonlocal assigned_at_s
        assigned_at_s, app.is_at_work = None, False
        app.readiness.rebalancing()
        app.metrics.rebalances.inc()
        app.lanes.drop(revoked)
        app.checkpointer.drop(revoked)
        app.verifier = None  # whoever takes orders next has read what stands before them
        for tp in revoked:
            app.metrics.forget_lag(tp.topic, tp.partition)

    async def on_assigned(_: Any, assigned: set[TP], **__: Any) -> None:
        nonlocal assigned_at_s
        assigned_at_s = time.monotonic()
        app.checkpointer.clear()
        mine = _source_partitions(app, assigned)
        app.readiness.assigned([(tp.topic, tp.partition) for tp in mine])
        judged = [tp for tp in mine if tp.topic == app.settings.topics.accounts_source]
        app.metrics.partitions_assigned.set(len(judged))
        log.info("partitions assigned: %d; recovering their state", len(judged))

    async def on_recovered(_: Any, **__: Any) -> None:
        recovery, now_s = app.tables.recovery, time.monotonic()
        # Faust says so as well of a recovery that another rebalance has cut short.
        is_cut_short = recovery.signal_recovery_start.is_set() or (
            recovery._generation_id != app.consumer_generation_id
        )
        if assigned_at_s is None or is_cut_short:
            return
        app.is_at_work = True
        app.readiness.recovered(now_s)
        log.info("state recovered within %.1f s", now_s - assigned_at_s)

    app.on_partitions_revoked.connect(on_revoked, weak=False)
    app.on_partitions_assigned.connect(on_assigned, weak=False)
    app.on_rebalance_complete.connect(on_recovered, weak=False)

    detailing = Detailing(app)

    async def watch_progress() -> None:
        while not app.should_stop:
            _measure_progress(app)
            if app.is_at_work:
                await detailing.adjust()
                for topic in await app.consumer.topics_made_anew():
                    app.on_made_anew(topic)
            await asyncio.sleep(_PROGRESS_INTERVAL_S)

    async def watch_disk() -> None:
        while not app.should_stop:
            used = await asyncio.to_thread(_disk_bytes, app.conf.datadir)
            app.metrics.state_disk_bytes.set(used)
            await asyncio.sleep(_DISK_INTERVAL_S)

    app.task(watch_progress)
    app.task(partial(tell_when_idle, app))
    app.task(watch_disk)


def _source_partitions(app: App, tps: Collection[TP]) -> list[TP]:
    return [tp for tp in tps if tp.topic not in app.tables.changelog_topics]


def _measure_progress(app: App) -> None:
    """Measure how much of each partition waits, and what its models stand at."""
    now_s = time.monotonic()
    for tp in _source_partitions(app, app.consumer.assignment()):
        committed = app.consumer._committed_offset[tp]
        if (end := app.log_end(tp)) is not None:
            lag = app.checkpointer.waiting(tp, committed or 0, end)
            app.metrics.set_lag(tp.topic, tp.partition, lag)
            app.readiness.lag_measured((tp.topic, tp.partition), lag, now_s)
    app.metrics.standby_lag.set(_standby_lag(app))
    _measure_judgement(app)
    if (watermark_s := app.checkpointer.watermark_s) is not None:
        app.metrics.watermark_timestamp_seconds.set(watermark_s)


def _standby_lag(app: App) -> int:
    """Return how many records the copies of others' state lack."""
    recovery, lag = app.tables.recovery, 0
    for tp in recovery.standby_tps & app.consumer.assignment():
        end, offset = app.consumer.highwater(tp), recovery.standby_offsets[tp]
        if end is not None and offset is not None:
            lag += max(end - 1 - offset, 0)
    return lag


def _measure_judgement(app: App) -> None:
    """Measure what the models of this worker's partitions stand at."""
    detectors = [shard.detector for shard in app.checkpointer.shards]
    breakers = [detector.docket.breaker for detector in detectors]
    app.metrics.breaker_open.set(any(breaker.is_open for breaker in breakers))
    app.metrics.accounts_active.set(sum(max(breaker.active) for breaker in breakers))
    app.metrics.accounts_hit.set(sum(sum(breaker.hit) for breaker in breakers))
    app.metrics.reviews_waiting.set(
        sum(len(each.docket.in_force.of("group")) for each in detectors)
    )
    groups = sum(shard.groups.live_groups for shard in app.checkpointer.shards)
    app.metrics.groups_in_memory.set(groups)
    for at, (_, signal) in enumerate(detectors[0].population.signals if detectors else ()):
        levels = [detector.population.levels[at] for detector in detectors]
        for action, each in zip(("throttle", "ban"), zip(*levels, strict=True), strict=True):
            app.metrics.level.labels(signal.code, action).set(median(each))


def _disk_bytes(directory: Path) -> int:
    """Return the size of all files below a directory; RocksDB deletes some as it is read."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
