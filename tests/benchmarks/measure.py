"""What a process costs between its first and its last commit."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.benchmarks.preload import PARTITIONS

_POLL_S = 0.02
#: Joining a group and opening tables takes seconds, on a busy machine tens of them.
_FIRST_TIMEOUT_S = 90.0
#: Long enough for any rate to settle; the slowest needs minutes for a million events.
_MEASURE_S_MAX = 30.0
#: The part of the events that must come between the first commit and the last: with less, a rate is
#: that of the end, or chance.
_PART_MIN = 0.25
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Measurement(msgspec.Struct, frozen=True):
    """One run of one subject."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_mib: float

    @property
    def events_per_s(self) -> float:
        """Throughput."""
        return self.events / self.seconds

    @property
    def cpu_seconds_per_100k(self) -> float:
        """Processor time, of all threads, for 100,000 events."""
        return self.cpu_seconds / self.events * 100_000


class SubjectError(RuntimeError):
    """A subject ended, or never began."""


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has held at a time."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def measure_commits(
    processes: Sequence[subprocess.Popen[bytes]],
    committed: Callable[[], Awaitable[int]],
    total: int,
    on_first: Callable[[], None] = lambda: None,
) -> Measurement:
    """Watch the processes of a group commit: from the first to the last that left some to do.

    The one after that also counts the time in which they waited for their next commit.
    `on_first` is called at the first one.

    Raises
    ------
    SubjectError
        One has ended, nothing was committed in time, or too much at once to be measured.
    """
    began_s = time.monotonic()
    seen: list[tuple[float, int, float]] = []
    while not seen or seen[-1][1] < total:
        done, now_s = await committed(), time.monotonic()
        for process in processes:
            if process.poll() is not None:
                raise SubjectError(f"it ended with status {process.returncode}")
        if done > (seen[-1][1] if seen else 0):
            seen.append((now_s, done, sum(cpu_seconds(process.pid) for process in processes)))
            if len(seen) == 1:
                on_first()
        if not seen and now_s - began_s > _FIRST_TIMEOUT_S:
            raise SubjectError(f"it has committed nothing within {_FIRST_TIMEOUT_S:g} s")
        if seen and now_s - seen[0][0] > _MEASURE_S_MAX:
            break
        await asyncio.sleep(_POLL_S)
    busy = [moment for moment in seen if moment[1] < total]
    span = busy if len(busy) > 1 else seen
    if len(span) < 2:
        raise SubjectError("it has committed everything at once: give it more events")
    (first_s, first, first_cpu), (last_s, last, last_cpu) = span[0], span[-1]
    if seen[-1][1] >= total and last - first < _PART_MIN * total:
        raise SubjectError("it committed most of the events at once: give it more of them")
    memory = max(peak_mib(process.pid) for process in processes)
    return Measurement(last - first, last_s - first_s, last_cpu - first_cpu, memory)


async def committed_by(admin: AIOKafkaAdminClient, group: str, topic: str) -> int:
    """Return how many events of a topic a group has committed, 0 until it has of each partition.

    What a worker commits first it has judged before: were the clock started by another's first
    commit, it would count as done in no time.
    """
    # By name: asked for all of them, the embedded broker knows of none.
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    try:
        offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
    except KafkaError:
        return 0  # the group is only just being formed
    counts = [max(at.offset, 0) for at in offsets.values()]
    return sum(counts) if min(counts, default=0) else 0
