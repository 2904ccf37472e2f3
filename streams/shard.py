"""One partition's detector and its state on disk.

A checkpoint is a consistent cut through the partition: the profiles that changed, then a marker
with the population and the offset up to which all of it reaches. An account has two rows that
are written in turn, so that a checkpoint that was cut short leaves the rows of the last whole
one untouched: a row counts only if it reaches no further than the marker.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime

import msgspec

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from streams.codec import TS_AHEAD_MAX_S
from streams.errors import OperatorError
from streams.outbox import Row

#: Version of the marker and the row headers; profiles carry their own.
STATE_VERSION = 1
#: What an operator can do about state that this code does not know.
NEWER_STATE_REMEDY = (
    "run the newer pairwatch again, or start with another kafka.group and an empty state.directory"
)
#: Decisions in force of which one partition keeps the end in mind: 400 KB of its marker. Those
#: beyond it stay in the state topic after their end, which they carry themselves.
IN_FORCE_MAX = 10_000
#: One account's clock may be this far ahead of everybody's; nothing is lifted early because of it.
_EXPIRY_MARGIN_S = TS_AHEAD_MAX_S
_MARKER_KEY = b"m"
#: Begins the keys of the population's own rows.
_POPULATION = b"p"
_HEADER = struct.Struct(">q")

Get = Callable[[bytes], bytes | None]


class _Version(msgspec.Struct, array_like=True):
    version: int


class _Marker(msgspec.Struct, array_like=True):
    version: int
    offset: int
    population: bytes
    watermark_s: float
    in_force: dict[str, float]


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
        self, config: DetectionConfig, version: str, topic: str, partition: int, get: Get
    ) -> None:
        self.detector = Detector(config, version, topic, partition, self._load)
        self.partition = partition
        self._get = get
        #: Which of its two rows holds an account's latest version, for live accounts.
        self._slots: dict[str, int] = {}
        marker = _read_marker(get)
        #: The next offset to judge, and the one up to which state is durable.
        self.offset = self.durable_offset = marker.offset if marker else 0
        #: The latest event time judged (Unix seconds); 0 before the first.
        self.watermark_s = marker.watermark_s if marker else 0.0
        #: Keys of the decisions in force, and when each ends (Unix seconds).
        self._in_force: dict[str, float] = marker.in_force if marker else {}
        self._next_expiry_s = min(self._in_force.values(), default=float("inf"))
        if marker:
            self.detector.restore(marker.population, lambda key: get(_POPULATION + key))

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

    def note(self, decision: Decision) -> None:
        """Keep a decision's end in mind."""
        if decision.action == "release" or decision.expires_at is None:
            self._in_force.pop(decision.key, None)
            return
        expires_s = datetime.fromisoformat(decision.expires_at).timestamp()
        if len(self._in_force) < IN_FORCE_MAX or decision.key in self._in_force:
            self._in_force[decision.key] = expires_s
            self._next_expiry_s = min(self._next_expiry_s, expires_s)

    def expire(self) -> list[str]:
        """Return the keys whose decision has run out, each once.

        Goes by the event time of this partition, so that the same log gives the same ends: in a
        partition without traffic a decision stands for longer than it holds.
        """
        now_s = self.watermark_s - _EXPIRY_MARGIN_S
        if now_s < self._next_expiry_s:
            return []
        ended = [key for key, expires_s in self._in_force.items() if expires_s <= now_s]
        for key in ended:
            del self._in_force[key]
        self._next_expiry_s = min(self._in_force.values(), default=float("inf"))
        return ended

    def begin_checkpoint(self) -> Checkpoint | None:
        """Encode what changed since the last one; `None` if nothing did."""
        if self.offset == self.durable_offset:
            return None
        snapshot = self.detector.snapshot()
        header = _HEADER.pack(self.offset)
        rows = [Row(_POPULATION + key, value) for key, value in snapshot.rows.items()]
        for account_id, profile in snapshot.profiles.items():
            slot = self._slots[account_id] = 1 - self._slots.get(account_id, 1)
            rows.append(Row(_row_key(slot, account_id), header + profile))
        marker = _Marker(
            STATE_VERSION, self.offset, snapshot.population, self.watermark_s, self._in_force
        )
        return Checkpoint(self.offset, rows, Row(_MARKER_KEY, msgspec.msgpack.encode(marker)))

    def end_checkpoint(self, checkpoint: Checkpoint, accounts_max: int) -> None:
        """Take note that a checkpoint is durable, and let go of idle accounts above a number."""
        self.durable_offset = checkpoint.offset
        for account_id in self.detector.trim(accounts_max):
            self._slots.pop(account_id, None)


def state_offset(get: Get) -> int:
    """Return the next offset to judge by the state that `get` reads; 0 without any.

    Raises
    ------
    OperatorError
        The state was written by a newer version.
    """
    marker = _read_marker(get)
    return marker.offset if marker else 0


def _read_marker(get: Get) -> _Marker | None:
    data = get(_MARKER_KEY)
    if data is None:
        return None
    # The version first: the rest may have another form.
    version = msgspec.msgpack.decode(data, type=_Version).version
    if version > STATE_VERSION:
        raise OperatorError(
            f"the state of the accounts has version {version} and this pairwatch knows up to "
            f"{STATE_VERSION}: {NEWER_STATE_REMEDY}"
        )
    return msgspec.msgpack.decode(data, type=_Marker)


def _row_key(slot: int, account_id: str) -> bytes:
    return b"a%d" % slot + account_id.encode()
