"""The honest kinds of customer: one entry each. To add a kind, add an entry to `KINDS`.

Those with a share of 0 are found only in the scenarios that give them one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rhythm = Literal["home", "office", "flat"]
Story = Literal["steady", "newcomer", "returner", "grower"]
Network = Literal["home", "shared", "campus", "datacentre"]

#: Attention over the hours of the local day, and over the week from Monday (1 is the fullest day).
HOURS: dict[Rhythm, tuple[float, ...]] = {
    "home": (5, 3, 2, 1, 0.6, 0.6, 1, 2, 3, 4, 4, 4,
             5, 5, 5, 5, 6, 7, 9, 11, 12, 12, 10, 7),
    "office": (1, 0.5, 0.3, 0.2, 0.2, 0.3, 1, 4, 9, 12, 12, 10,
               7, 10, 12, 11, 9, 6, 3, 2, 2, 2, 2, 1),
    "flat": (1,) * 24,
}  # fmt: skip
WEEK: dict[Rhythm, tuple[float, ...]] = {
    "home": (0.75, 0.72, 0.74, 0.78, 0.9, 1.0, 0.98),
    "office": (0.95, 1.0, 1.0, 0.97, 0.85, 0.22, 0.18),
    "flat": (1,) * 7,
}


@dataclass(frozen=True, kw_only=True)
class Together:
    """How accounts of a kind belong together.

    `links` names the link types whose value the group shares; a `team` works on each other's
    pairs.
    """

    sizes: tuple[int, int]
    links: tuple[str, ...] = ()
    team: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The habits of one kind of customer.

    Parameters
    ----------
    share
        Part of all accounts, in proportion to the other kinds.
    active
        Lowest and highest chance, over the accounts, of being active on a day.
    sessions, requests
        Sessions of an active day, requests of a session: median and sigma (log-normal).
    spread
        Sigma of the accounts' own activity, which multiplies `requests`: the heavy tail.
    gap_s
        Time between requests of a session: median and sigma (log-normal).
    period_s
        Set for machines: lowest and highest period. They run all day, without sessions.
    actions
        Weights of the actions.
    owned
        Published pairs of an account: median and sigma (log-normal).
    own
        Chance that what is looked at belongs to the account (or its team).
    revisits, clicks
        Chance that a foreign view is an old favourite, or comes from the page last listed.
    resumes
        Whether a later session goes on in the feed where the last one stopped.
    first_page_only
        A poller: reads the same first page of the feed of everything, again and again.
    mobile
        Chance that a session is on the second device, in a mobile network.
    bulk_download
        Downloads every pair it owns, once in the run.
    """

    share: float
    active: tuple[float, float] = (0.2, 0.8)
    sessions: tuple[float, float] = (1.3, 0.5)
    requests: tuple[float, float] = (11.0, 0.8)
    spread: float = 0.55
    gap_s: tuple[float, float] = (14.0, 1.2)
    period_s: tuple[float, float] | None = None
    actions: dict[str, float]
    owned: tuple[float, float] = (4.0, 1.3)
    own: float = 0.1
    revisits: float = 0.12
    clicks: float = 0.6
    resumes: bool = False
    first_page_only: bool = False
    rhythm: Rhythm = "home"
    story: Story = "steady"
    network: Network = "home"
    mobile: float = 0.3
    together: Together | None = None
    bulk_download: bool = False


_BROWSING = {
    "list": 0.22,
    "view": 0.5,
    "search": 0.06,
    "generate": 0.08,
    "download": 0.07,
    "other": 0.07,
}
_MAKING = {
    "generate": 0.45,
    "view": 0.3,
    "list": 0.09,
    "download": 0.1,
    "search": 0.02,
    "other": 0.04,
}
_WORKING = {
    "generate": 0.3,
    "view": 0.36,
    "list": 0.14,
    "download": 0.08,
    "search": 0.06,
    "other": 0.06,
}

KINDS: dict[str, Kind] = {
    "casual": Kind(share=58, actions=_BROWSING),
    "creator": Kind(
        share=12,
        active=(0.4, 0.95),
        requests=(22.0, 0.8),
        gap_s=(22.0, 1.0),
        actions=_MAKING,
        owned=(90.0, 1.3),
        own=0.82,
    ),
    "curator": Kind(
        share=2.5,
        active=(0.6, 0.98),
        sessions=(2.2, 0.5),
        requests=(48.0, 0.6),
        spread=0.55,
        gap_s=(7.0, 1.1),
        actions={"list": 0.22, "view": 0.6, "search": 0.07, "download": 0.07, "other": 0.04},
        owned=(15.0, 1.5),
        own=0.02,
        revisits=0.2,
        resumes=True,
        mobile=0.15,
    ),
    "researcher": Kind(
        share=2.5,
        active=(0.4, 0.85),
        sessions=(1.6, 0.5),
        requests=(35.0, 0.7),
        gap_s=(11.0, 1.1),
        actions={"search": 0.42, "view": 0.42, "list": 0.05, "download": 0.08, "other": 0.03},
        own=0.03,
        revisits=0.15,
        rhythm="office",
        mobile=0.05,
    ),
    "integrator": Kind(
        share=0.8,
        active=(0.97, 1.0),
        spread=0.2,
        period_s=(40.0, 900.0),
        actions={"generate": 0.9, "download": 0.06, "view": 0.03, "other": 0.01},
        owned=(300.0, 1.2),
        own=1.0,
        rhythm="flat",
        network="datacentre",
        mobile=0.0,
        together=Together(sizes=(1, 3), links=("org", "payment")),
    ),
    "poller": Kind(
        share=0.4,
        active=(0.97, 1.0),
        period_s=(60.0, 600.0),
        actions={"list": 1.0},
        own=0.0,
        first_page_only=True,
        rhythm="flat",
        network="datacentre",
        mobile=0.0,
    ),
    "agency": Kind(
        share=4,
        active=(0.6, 0.95),
        sessions=(2.2, 0.4),
        requests=(24.0, 0.7),
        actions=_WORKING,
        owned=(120.0, 1.0),
        own=0.75,
        rhythm="office",
        network="shared",
        mobile=0.08,
        together=Together(sizes=(3, 12), links=("org", "payment"), team=True),
    ),
    "colleague": Kind(
        share=4,
        active=(0.3, 0.85),
        requests=(16.0, 0.8),
        actions=_WORKING,
        owned=(20.0, 1.2),
        own=0.35,
        rhythm="office",
        network="shared",
        mobile=0.12,
        together=Together(sizes=(4, 30), links=("org",)),
    ),
    "household": Kind(
        share=3,
        actions=_BROWSING,
        network="shared",
        together=Together(sizes=(2, 4), links=("payment", "device")),
    ),
    "campus": Kind(
        share=4,
        requests=(14.0, 0.8),
        actions=_BROWSING,
        network="campus",
        mobile=0.2,
        together=Together(sizes=(25, 80)),
    ),
    "student": Kind(
        share=1.5,
        actions=_BROWSING,
        network="campus",
        mobile=0.1,
        together=Together(sizes=(15, 30), links=("org",)),
    ),
    "newcomer": Kind(share=4, active=(0.5, 0.95), actions=_BROWSING, story="newcomer"),
    "returner": Kind(share=2, requests=(18.0, 0.8), actions=_BROWSING, story="returner"),
    "grower": Kind(
        share=1,
        active=(0.7, 0.98),
        requests=(20.0, 0.7),
        actions=_WORKING,
        own=0.4,
        story="grower",
    ),
    "archivist": Kind(
        share=0.4,
        active=(0.4, 0.9),
        requests=(22.0, 0.8),
        gap_s=(22.0, 1.0),
        actions=_MAKING,
        owned=(400.0, 1.0),
        own=0.85,
        bulk_download=True,
    ),
    "scroller": Kind(
        share=0,
        requests=(30.0, 0.8),
        gap_s=(6.0, 1.0),
        actions={"list": 0.85, "view": 0.1, "download": 0.02, "other": 0.03},
        mobile=0.7,
    ),
    "frame": Kind(
        share=0,
        active=(0.97, 1.0),
        spread=0.2,
        period_s=(30.0, 600.0),
        actions={"view": 1.0},
        own=0.0,
        revisits=0.3,
        rhythm="flat",
        network="datacentre",
        mobile=0.0,
    ),
}  # fmt: skip
