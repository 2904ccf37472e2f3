"""What comes of judging: for those who send it on, and for those who keep it."""

from __future__ import annotations

import msgspec

from models.decision import Decision
from models.exchange import Digest
from models.link_activity import LinkActivity
from models.population_state import Rows


class Observation(msgspec.Struct):
    """What came of a batch: decisions in the order of their causes, and counts by outcome."""

    decisions: list[Decision] = []
    #: How many of the requests; fewer than all while others are awaited.
    taken: int = 0
    #: Partitions that must tell what they have learned before it goes on.
    lacking: list[int] = []
    #: What was learned, for the other partitions.
    digests: list[Digest] = []
    #: How many of those that others had told could not be read: another version wrote them.
    unreadable_digests: int = 0
    #: What accounts chose, for those who watch what they have in common.
    activities: list[LinkActivity] = []
    #: Account-days that began, and those of them with a first throttle or ban.
    account_days: int = 0
    hits: dict[str, int] = {}
    judged: int = 0
    #: Those of them that were only counted: more of a flood than it takes to judge it.
    excess: int = 0
    #: Those of which only the number was judged, as the worker is behind.
    shed: int = 0
    duplicate: int = 0
    late: int = 0
    #: Requests that the service failed to answer.
    server_errors: int = 0
    #: The latest event time of them all, Unix seconds; 0 if there were none.
    latest_s: float = 0.0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that has changed since the last one, encoded.

    `rows` belong to the population: they are to be written (or removed, where `None`) together
    with the profiles and before the bytes of `population`, which refer to them. `choices` are
    those of accounts that chose pairs. `steering` is `None` where nobody has said anything since.
    """

    profiles: dict[str, bytes]
    choices: dict[str, bytes]
    rows: Rows
    population: bytes
    docket: bytes
    exchange: bytes
    steering: bytes | None
