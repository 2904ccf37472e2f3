"""A link's members and its review, as state."""

from __future__ import annotations

import msgspec

from models.groups.member import Member

VERSION = 1


class GroupWire(msgspec.Struct, array_like=True):
    """What is remembered of a group."""

    version: int
    link: str
    day: int
    peak: float
    found: bool
    revision: int
    issued_s: float
    expires_s: float
    rejected_until_s: float
    told: int
    members: list[Member]
    crowd: bytes
    crowd_day: int
    crowd_before: float
    waits: bool = False
    evidence: float = 0.0
    grown: float = 0.0
