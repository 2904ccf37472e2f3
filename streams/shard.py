"""One partition's detector and its state on disk.

A checkpoint is a consistent cut through the partition: the profiles that changed, then a marker
with the population and the offset up to which all of it reaches. An account has two rows that
are written in turn, so that a checkpoint that was cut short leaves the rows of the last whole
one untouched: a row counts only if it reaches no further than the marker.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from models.config import DetectionConfig
from models.detector import Detector
from streams.errors import OperatorError
from streams.outbox import Row

#: Version of the marker and the row headers; profiles carry their own.
STATE_VERSION = 1
_MARKER_KEY = b"m"
_HEADER = struct.Struct(">q")


class _Marker(msgspec.Struct, array_like=True):
    version: int
    offset: int
    population: bytes


class Checkpoint(msgspec.Struct, frozen=True):
    """What must become durable, rows first, then the marker."""

    offset: int
    rows: list[Row]
    marker: Row


class Shard:
    """The state of one partition between its log and its table.

    Parameters
    ----------
    config, version
        As the detector takes them.
    topic, partition
        The log that is judged.
    get
        Reads a row of this partition's table.

    Raises
    ------
    OperatorError
        The state was written by a newer version.
    """

    def __init__(
        self,
        config: DetectionConfig,
        version: str,
        topic: str,
        partition: int,
        get: Callable[[bytes], bytes | None],
    ) -> None:
        self.detector = Detector(config, version, topic, partition, self._load)
        self.partition = partition
        self._get = get
        #: Which of its two rows holds an account's latest version, for live accounts.
        self._slots: dict[str, int] = {}
        #: The next offset to judge, and the one up to which state is durable.
        self.offset = self.durable_offset = 0
        if data := get(_MARKER_KEY):
            marker = msgspec.msgpack.decode(data, type=_Marker)
            if marker.version > STATE_VERSION:
                raise OperatorError(
                    f"the state of {topic}[{partition}] has version {marker.version} and this "
                    f"pairwatch knows up to {STATE_VERSION}: run the newer version again, or "
                    "start with another kafka.group and an empty state.directory"
                )
            self.offset = self.durable_offset = marker.offset
            self.detector.population.restore(marker.population)

    def _load(self, account_id: str) -> bytes | None:
        latest, found = -1, None
        for slot in (0, 1):
            row = self._get(_row_key(slot, account_id))
            if row is not None:
                (offset,) = _HEADER.unpack_from(row)
                if latest < offset <= self.durable_offset:
                    latest, found = offset, row[_HEADER.size :]
                    self._slots[account_id] = slot
        return found

    def begin_checkpoint(self) -> Checkpoint | None:
        """Encode what changed since the last one; `None` if nothing did."""
        if self.offset == self.durable_offset:
            return None
        snapshot = self.detector.snapshot()
        header = _HEADER.pack(self.offset)
        rows = []
        for account_id, profile in snapshot.profiles.items():
            slot = self._slots[account_id] = 1 - self._slots.get(account_id, 1)
            rows.append(Row(_row_key(slot, account_id), header + profile))
        marker = _Marker(STATE_VERSION, self.offset, snapshot.population)
        return Checkpoint(self.offset, rows, Row(_MARKER_KEY, msgspec.msgpack.encode(marker)))

    def end_checkpoint(self, checkpoint: Checkpoint, accounts_max: int) -> None:
        """Take note that a checkpoint is durable, and let go of idle accounts above a number."""
        self.durable_offset = checkpoint.offset
        for account_id in self.detector.trim(accounts_max):
            self._slots.pop(account_id, None)


def _row_key(slot: int, account_id: str) -> bytes:
    return b"a%d" % slot + account_id.encode()
