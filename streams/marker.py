"""The row that makes a checkpoint count: how far it reaches, and what is no row of its own."""

from __future__ import annotations

import msgspec

from streams.errors import OperatorError
from streams.outbox import Row
from streams.rows import Get, Reach, reading

#: Version of the marker and the row headers; profiles carry their own.
STATE_VERSION = 4
#: What an operator can do about state that this code does not know.
NEWER_STATE_REMEDY = (
    "run the newer pairwatch again, or start with another kafka.group and an empty state.directory"
)
_KEY = b"m"


class _Version(msgspec.Struct, array_like=True):
    version: int


class Marker(msgspec.Struct, array_like=True):
    """What a checkpoint ends with: see `Checkpoint`, and what is common to all accounts."""

    version: int
    reach: Reach
    notices_due: int
    resume: int
    watermark_s: float
    population: bytes
    docket: bytes
    exchange: bytes
    groups: bytes
    #: The topic that the requests were read from.
    source: str

    def row(self) -> Row:
        """Return the row as it is written."""
        return Row(_KEY, msgspec.msgpack.encode(self))


def resume_offsets(get: Get) -> Reach:
    """Return where to read on, log by log; 0 without any state.

    Raises
    ------
    OperatorError
        The state was written by another version.
    """
    marker = read_marker(get)
    return (marker.reach[0], marker.reach[1], marker.resume) if marker else (0, 0, 0)


def read_marker(get: Get) -> Marker | None:
    """Return the latest marker, `None` without any state; raises as `resume_offsets` does."""
    data = get(_KEY)
    if data is None:
        return None
    # The version first: the rest may have another form.
    with reading("the marker of the state"):
        version = msgspec.msgpack.decode(data, type=_Version).version
    if version > STATE_VERSION:
        raise OperatorError(
            f"the state of the accounts has version {version} and this pairwatch knows up to "
            f"{STATE_VERSION}: {NEWER_STATE_REMEDY}"
        )
    if version < STATE_VERSION:
        raise OperatorError(
            f"the state of the accounts has version {version}, from before the first release: "
            "start with another kafka.group and an empty state.directory"
        )
    with reading("the marker of the state"):
        return msgspec.msgpack.decode(data, type=Marker)
