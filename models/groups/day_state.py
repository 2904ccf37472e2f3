"""What an account has chosen on one day, as state."""

from __future__ import annotations

import msgspec

from models.groups.manner import MannerWire

#: Of these rows. Since 2 they know the manner; those of 1 are taken up without.
DAY_VERSION = 2


class DayWire(msgspec.Struct, array_like=True):
    """The numbers of a day that matter."""

    version: int
    day: int
    chosen: int
    told_at: int
    first_s: float
    hours: int
    steps_up: int
    steps: int
    last_pair: str
    below: int
    weights: list[float]
    pairs: bytes
    evidence: bytes
    owners: bytes
    links: list[str]
    address: str = ""
    manner: MannerWire = (0, 0, 0.0, 0.0, 0.0)
