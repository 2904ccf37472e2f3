"""What an account has chosen on one day, as state."""

from __future__ import annotations

import msgspec

from models.groups.manner import MannerWire

#: Of these rows. Since 2 they know the manner, and since 4 the pages; older ones are taken up
#: without. Since 3 the sample is one field, and since 5 the last one is what it says.
DAY_VERSION = 5

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
    # Eight bytes for each pair, see `Day`. Before 3 four bytes of hashes, and the rest of each in
    # the next two fields, which are empty since.
    sample: bytes
    evidence: bytes
    owners: bytes
    links: list[str]
    address: str = ""
    manner: MannerWire = (0, 0, 0.0, 0.0, 0.0)
    page: PageWire | None = None
    pages: int = 0
    shown: int = 0
    passed_over: int = 0
