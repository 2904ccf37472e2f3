"""What an account has chosen on one day, as state."""

from __future__ import annotations

import msgspec

from models.groups.manner import MannerWire

#: Of these rows.
DAY_VERSION = 6

#: The half of a pair's hash, its evidence, its owner, and the pairs on the page.
PageWire = tuple[int, int, str | None, int]


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
    # Eight bytes for each pair, see `Day`.
    sample: bytes
    links: list[str]
    address: str
    manner: MannerWire
    page: PageWire | None
    pages: int
    shown: int
    passed_over: int
