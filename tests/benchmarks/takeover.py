"""One of two workers is killed: when the other judges its partitions, with copies and without."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from streams.settings import Settings
from tests.benchmarks.known import fill, requests_of_many, wait_until_at_rest, wait_until_ready
from tests.benchmarks.measure import SubjectError
from tests.benchmarks.preload import PARTITIONS
from tests.benchmarks.subjects import Bench, alongside, settings_for, started

#: A million accounts are back in half a minute; a session is over in less.
_TIMEOUT_S, _POLL_S = 600.0, 0.1


class Takeover(msgspec.Struct, frozen=True):
    """What it took until one worker had the partitions of another that was killed.

    `noticed_s` is from the end of the one to the assignment of all partitions to the other, and
    `recovered_s` from there until it was ready, once it had read so many `records` back.
    """

    accounts: int
    standby_replicas: int
    noticed_s: float
    recovered_s: float
    records: int


def takeover(bench: Bench, accounts: int) -> list[Takeover]:
    """Kill one of two workers that know so many accounts, without copies and with one of each."""
    return [_measure(bench, accounts, replicas) for replicas in (0, 1)]


def _measure(bench: Bench, accounts: int, replicas: int) -> Takeover:
    settings = settings_for(bench, keyed=True, requests=f"bench.takeover.{replicas}")
    settings = msgspec.structs.replace(
        settings, state=msgspec.structs.replace(settings.state, standby_replicas=replicas)
    )
    asyncio.run(fill(bench, settings, requests_of_many(), accounts))
    with started(bench, settings) as killed, alongside(bench.next_core(), settings) as other:
        process, settings_of_other = other
        for worker, one in ((killed, settings), (process, settings_of_other)):
            _wait_until(one, "partitions_assigned", lambda count: count == PARTITIONS / 2)
            wait_until_ready(worker, one)
            _wait_until(one, "standby_lag_records", lambda lag: lag == 0)
        wait_until_at_rest(process.pid)
        before = _metric(settings_of_other, "recovered_records_total")
        killed.kill()
        began_s = time.monotonic()
        _wait_until(settings_of_other, "partitions_assigned", lambda count: count == PARTITIONS)
        noticed_s = time.monotonic() - began_s
        recovered_s = wait_until_ready(process, settings_of_other)
        records = int(_metric(settings_of_other, "recovered_records_total") - before)
        return Takeover(accounts, replicas, noticed_s, recovered_s, records)


def _wait_until(settings: Settings, name: str, condition: Callable[[float], bool]) -> None:
    began_s = time.monotonic()
    while not condition(value := _metric(settings, name)):
        if time.monotonic() - began_s > _TIMEOUT_S:
            raise SubjectError(f"pairwatch_{name} stayed at {value:g}")
        time.sleep(_POLL_S)


def _metric(settings: Settings, name: str) -> float:
    """Return a metric's value, NaN as long as nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{settings.metrics.listen}/metrics", timeout=5) as said:
            text = said.read().decode()
    except OSError:
        return float("nan")
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"pairwatch_{name}":
                return sample.value
    raise SubjectError(f"there is no metric pairwatch_{name}")
