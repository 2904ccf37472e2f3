"""An account's profile as state."""

from __future__ import annotations

import msgspec

from models.policy import Standing

VERSION = 3


class StateError(ValueError):
    """Bytes that are no state."""


class StateVersionError(StateError):
    """State was written by a newer version than this one."""


class ProfileWire(msgspec.Struct, array_like=True):
    """The numbers of a profile that matter; its sketches in their own compact form."""

    version: int
    first_s: float
    # A count stays the integer that it is: as a float it would take thrice the space.
    windows: list[list[int | float]]
    heights: list[list[float]]
    calm: list[list[float] | None]
    # As `pack_rungs` has them.
    reached: bytes
    taken_back: bool
    rare: float
    rare_height: float
    read: float
    life: bytes
    today: bytes
    recent: tuple[bytes, bytes, float, float, float]
    samples: list[str]
    habit_requests: tuple[int, float]
    habit_choices: tuple[int, float]
    standing: Standing
    # When the latest choice was made, the number that its pair's id ends in, and the pair (hash)
    # that it came back to last.
    choice: tuple[float, int | None, int]
    # How long after the one before.
    gap_ms: int
    # Whether what it chose spoke for a copier when it was told of last.
    is_loud: bool
