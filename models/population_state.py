"""What is known of everybody together, as state and as told to other partitions."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

#: Classes of popularity: nobody, one reader, two, 3–4, 5–8, … , more than 64.
CLASSES: Final = 9
#: Readers told to other partitions at a time, in 80 KB: what more is learned meanwhile they can
#: do without, for it is many. As many as two bytes count.
UNTOLD_MAX: Final = 65_535
#: Slots as they are told: buckets, of which it is enough to count the slots, and the place in each.
_PLACES: Final = 256
_BUCKETS: Final = 4_096
_COUNTS_BYTES: Final = 2 * _BUCKETS
_BEGINNINGS: Final = np.arange(0, _BUCKETS * _PLACES, _PLACES, dtype=np.uint32)
#: Digests of which the readers are kept as they were unpacked, as each is told to all partitions of
#: a process within moments: of 128 partitions together, mostly 4 MB, 100 at the most.
_TALLIES_MAX: Final = 128

#: Reads a row of state by its key.
GetRow = Callable[[bytes], bytes | None]
Rows = dict[bytes, bytes | None]
Slots = npt.NDArray[np.uint32]
#: Counts, when to renew, what is untold, and what a time and a step say until then.
PaceWire = tuple[list[float], float, list[int], list[float], float]


class Growth(msgspec.Struct, array_like=True):
    """What a tail has counted in some time: account days, and for how many each rung is the top.

    A day that climbs leaves its rung, and one that is taken back leaves altogether.
    """

    days: int = 0
    tops: dict[int, int] = {}


class Readings(msgspec.Struct, array_like=True):
    """What was learned in some time: slots that had a reader (packed), and reads by class."""

    readers: bytes = b""
    read: list[int] = []


class PopularityWire(msgspec.Struct, array_like=True):
    """What a snapshot says of the popularity: numbers, and which rows hold the rest."""

    read: list[float]
    reads: int
    renew_at: int
    evidence: list[float]
    copier_evidence: float
    copy: int
    copy_rows: int
    change_rows: int
    renewed_at: int
    untold: Readings
    offered: list[float]


class TailWire(msgspec.Struct, array_like=True):
    """A tail, the levels that follow from it, and what was not told of it yet."""

    days: float
    tops: dict[int, float]
    levels: tuple[float, float]
    untold: Growth = msgspec.field(default_factory=Growth)


class DigestWire(msgspec.Struct, array_like=True):
    """What one partition tells the others of what it has learned."""

    version: int
    tails: dict[str, Growth]
    popularity: Readings
    pace: list[int]


class PopulationWire(msgspec.Struct, array_like=True):
    """The population's part of a snapshot."""

    day: int
    refit_at: float
    tails: dict[str, TailWire]
    popularity: PopularityWire
    told_s: float
    wronged: float
    pace: PaceWire
    right: float


class DigestError(ValueError):
    """What came as another partition's digest is none that this version knows."""


def pack(slots: array[int]) -> bytes:
    """Sort slots, and keep how many lie in each bucket, and where in it each one does.

    That is within a fifth of the least that they can be told in (Elias, Efficient Storage and
    Retrieval by Content and Address of Static Files, 1974).
    """
    in_order = np.sort(np.frombuffer(slots, dtype=np.uint32))
    counts = np.bincount(in_order // _PLACES, minlength=_BUCKETS).astype(np.uint16)
    places = (in_order % _PLACES).astype(np.uint8)
    return zlib.compress(counts.tobytes(), level=1) + places.tobytes()


def unpack(packed: bytes) -> Slots:
    """Return the slots that `pack` was given, in order.

    Raises
    ------
    ValueError
        They are none.
    """
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(packed, _COUNTS_BYTES)
    except zlib.error as error:
        raise ValueError(f"packed readers that are no readers: {error}") from None
    if not unpacking.eof or len(raw) != _COUNTS_BYTES:
        raise ValueError("packed readers that are no readers")
    counts = np.frombuffer(raw, dtype=np.uint16)
    places = np.frombuffer(unpacking.unused_data, dtype=np.uint8)
    if len(places) > UNTOLD_MAX or counts.sum(dtype=np.int64) != len(places):
        raise ValueError("packed readers that are no readers, or too many")
    return np.repeat(_BEGINNINGS, counts) + places


class Tally(NamedTuple):
    """Slots that had readers: each reader's in order, then each once, and how often it comes."""

    slots: Slots
    distinct: Slots
    times: Slots


@lru_cache(maxsize=_TALLIES_MAX)
def tally(packed: bytes) -> Tally:
    """Return the slots that `pack` was given, in order and counted; they are not to be changed.

    Raises
    ------
    ValueError
        They are none.
    """
    found = unpack(packed)
    distinct, times = np.unique(found, return_counts=True)
    counted = Tally(found, distinct, times.astype(np.uint32))
    for each in counted:
        each.flags.writeable = False
    return counted
