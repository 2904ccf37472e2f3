"""What an event costs as there are more accounts, partitions, pairs, and events in a batch."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from models.config import DetectionConfig
from models.detector import Detector
from models.request import Request
from streams.codec import decode_request
from streams.collector import spare_the_living
from streams.partitions import partition_of
from tests.benchmarks.events import ACCOUNTS, CATALOGUE, events

_ROOT = Path(__file__).parents[2]
_EVENTS = 50_000
_PARTITIONS, _BATCH = 12, 256
#: Later than any event, as `decode_request` wants to know.
_ARRIVED_S = 4e9

_VALUES: Mapping[str, tuple[int, ...]] = {
    "accounts": (1_000, 5_000, 20_000, 40_000),
    "partitions": (1, 4, 12, 48),
    "pairs in the catalogue": (2_000, 20_000, 200_000, 2_000_000),
    "events in a batch": (1, 16, 128, 512),
}


class Point(msgspec.Struct, frozen=True):
    """Microseconds of processor time an event: decoding and judging."""

    value: int
    decode: float
    judge: float


def growth(python: Path) -> dict[str, list[Point]]:
    """Measure one thing after another, all others at their usual value.

    Accounts have five events each, however many they are; the rest is measured over the same
    50,000 events. Within one process, on one core: no Kafka.

    Parameters
    ----------
    python
        Of the environment whose pairwatch is measured: its code comes before this checkout's.
    """
    code = (
        f"import sys; sys.path.append({str(_ROOT)!r}); from tests.benchmarks import growth; "
        "growth.tell()"
    )
    said = subprocess.run([python, "-P", "-c", code], stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(said.stdout, type=dict[str, list[Point]])


def tell() -> None:
    """Measure in this process, and write what was found as JSON."""
    spare_the_living()
    found: dict[str, list[Point]] = defaultdict(list)
    for what, values in _VALUES.items():
        for value in values:
            point = _measure(what, value)
            found[what].append(point)
            took = f"{point.decode:.1f} + {point.judge:.1f} µs an event"
            print(f"{value:>10,} {what}: {took}", file=sys.stderr, flush=True)
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _measure(what: str, value: int) -> Point:
    accounts = value if what == "accounts" else ACCOUNTS
    catalogue = value if what == "pairs in the catalogue" else CATALOGUE
    partitions = value if what == "partitions" else _PARTITIONS
    batch = value if what == "events in a batch" else _BATCH
    count = 5 * accounts if what == "accounts" else _EVENTS
    raw = [event.value for event in events(count, accounts=accounts, catalogue=catalogue)]
    gc.collect()
    began_s = time.process_time()
    requests = [decode_request(value, _ARRIVED_S) for value in raw]
    decoded_s = time.process_time()
    detectors = [
        Detector(DetectionConfig(), "bench", "bench", 0, _nothing) for _ in range(partitions)
    ]
    batches = list(_batches(requests, partitions, batch))
    judging_s = time.process_time()
    for partition, some, offsets in batches:
        detectors[partition].observe(some, offsets)
    judged_s = time.process_time()
    return Point(value, (decoded_s - began_s) / count * 1e6, (judged_s - judging_s) / count * 1e6)


def _nothing(_: str) -> None:
    return None


def _batches(
    requests: list[Request], partitions: int, size: int
) -> Iterator[tuple[int, list[Request], list[int]]]:
    waiting: dict[int, list[int]] = defaultdict(list)
    for at, request in enumerate(requests):
        partition = partition_of(request.account_id.encode(), partitions)
        waiting[partition].append(at)
        if len(waiting[partition]) == size:
            offsets = waiting.pop(partition)
            yield partition, [requests[n] for n in offsets], offsets
    for partition, offsets in waiting.items():
        yield partition, [requests[n] for n in offsets], offsets
