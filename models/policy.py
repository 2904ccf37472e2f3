"""The ladder: throttle, longer and tighter, ban for hours, for days; down again by itself."""

from __future__ import annotations

from array import array
from typing import Literal

import msgspec

from models.signals import DAY_S, HOUR_S

Rung = Literal["none", "throttle", "ban"]
_SEVERITY: dict[str, int] = {"none": 0, "throttle": 1, "ban": 2}

#: The first throttle: long enough to blunt a copy, short enough that a false one is forgotten the
#: same evening. Each strike doubles it, up to a day.
THROTTLE_S = 1 * HOUR_S
THROTTLE_S_MAX = 1 * DAY_S
#: Most bans follow a throttle, which makes them half a day; the third and fourth are for days.
BAN_S = 6 * HOUR_S
BAN_S_MAX = 7 * DAY_S
#: How long it takes until a strike weighs half.
_FORGIVING_S = 2 * DAY_S
#: Refused requests that count as ignoring what is in force: a person gives up long before, and a
#: client that heeds Retry-After sends a few an hour.
IGNORED_REFUSALS = 100
#: What ignoring it must add to a decision, as a part of its length: a flood goes on for hours
#: against a ban that is as long as bans get, and need not be told so every second.
_GAIN_MIN = 0.25
#: How far `overturn` widens what one account may do: people who do a lot get told so twice.
_LEEWAY_STEP, LEEWAY_MAX = 2.0, 8.0
#: How long nothing is learned from an account once people have said that a decision about it was
#: right: four times what a habit takes, so that one who goes on more slowly brings up none.
DISTRUSTED_DAYS = 30


class Standing(msgspec.Struct, array_like=True):
    """Where an account stands: its latest decision.

    Parameters
    ----------
    revision
        Decisions so far; 0 before the first.
    action
        The latest one; `none` once it was lifted.
    issued_s, expires_s
        Event time, Unix seconds.
    strikes
        Decisions so far, older ones weighing less.
    decision_id
        The latest one's.
    scenario, simulated
        What it was for, and whether it was meant.
    refused
        Requests refused since (429 or 403) while it holds.
    leeway
        How many times the usual level this account may reach, since people said that it was
        wronged; 1 or more.
    links, address
        Hashes of the links it had in the request that tipped the balance, and the address.
    group
        Hash of the link for which it was decided about last, as a group's models named it or as
        people approved; 0 is none.
    peaks
        The highest rung it reached in each signal on the days of decisions in a row, which were
        unlearned: what there is to learn should they turn out wrong. As `pack_rungs` has them.
    confirmed_day
        The day (since 1970, UTC) of a decision that people have called right; 0 is none.
    spared
        Whether it would have been decided about, had people not wanted it left alone.
    """

    revision: int = 0
    action: Rung = "none"
    issued_s: float = 0.0
    expires_s: float = 0.0
    strikes: float = 0.0
    decision_id: bytes = b""
    scenario: str = ""
    simulated: bool = True
    refused: int = 0
    leeway: float = 1.0
    links: bytes = b""
    address: str = ""
    group: int = 0
    peaks: bytes = b""
    confirmed_day: int = 0
    spared: bool = False

    def has_link(self, link: int) -> bool:
        """Whether a link (hash) was among those it had, or is what it was decided about for."""
        return link == self.group or link in array("I", self.links)

    def strikes_at(self, now_s: float) -> float:
        """Return what the strikes so far still weigh."""
        return float(self.strikes * 0.5 ** (max(now_s - self.issued_s, 0.0) / _FORGIVING_S))

    def follow(self, order: Order, now_s: float) -> Standing:
        """Return where the account stands once an order has been given."""
        return msgspec.structs.replace(
            self,
            revision=self.revision + 1,
            action=order.action,
            issued_s=now_s,
            expires_s=order.expires_s,
            strikes=self.strikes_at(now_s) + 1,
            refused=0,
            peaks=self.peaks if self.in_force(now_s) else b"",
        )

    def release(self, now_s: float) -> Standing:
        """Return where the account stands once what was in force has been lifted."""
        return msgspec.structs.replace(
            self,
            revision=self.revision + 1,
            action="none",
            issued_s=max(now_s, self.issued_s),
            expires_s=max(now_s, self.issued_s),
            strikes=self.strikes_at(now_s),
            refused=0,
            group=0,
        )

    def judged_wrong(self) -> Standing:
        """Return where the account stands once people have said that it was wronged."""
        return msgspec.structs.replace(
            self,
            strikes=max(self.strikes - 1, 0.0),
            leeway=min(self.leeway * _LEEWAY_STEP, LEEWAY_MAX),
            confirmed_day=0,
        )

    def judged_right(self) -> Standing:
        """Return where the account stands once people have said that the decision was right."""
        return msgspec.structs.replace(
            self,
            strikes=self.strikes + 1,
            leeway=1.0,
            confirmed_day=int(self.issued_s // DAY_S),
        )

    @property
    def trusted_from_s(self) -> float:
        """From when on (Unix seconds) others may be judged by what the account does.

        Unless a decision is in force.
        """
        return float((self.confirmed_day + DISTRUSTED_DAYS) * DAY_S) if self.confirmed_day else 0.0

    def in_force(self, now_s: float) -> bool:
        """Whether the latest decision still holds."""
        return self.action != "none" and now_s < self.expires_s

    @property
    def half_way_s(self) -> float:
        """From when on (Unix seconds) the latest decision may be prolonged."""
        return (self.issued_s + self.expires_s) / 2


class Finding(msgspec.Struct, frozen=True):
    """How grave what was seen is.

    Parameters
    ----------
    throttle, ban
        Whether a level has been passed for which the budget allows a throttle, a ban.
    kinds
        How many kinds of evidence passed their level for a throttle: a ban wants two.
    warm
        Whether enough is known of the peers to ban at all.
    ignored
        Whether the account goes on against a decision in force: evidence of another kind.
    scenario
        What it looks like; empty where only the account's going on speaks.
    """

    throttle: bool
    ban: bool
    kinds: int
    warm: bool
    ignored: bool = False
    scenario: str = ""


class Order(msgspec.Struct, frozen=True):
    """What the policy asks for, until when (event time, Unix seconds)."""

    action: Literal["throttle", "ban"]
    expires_s: float


def decide(
    standing: Standing, finding: Finding, now_s: float, *, counts: bool = True
) -> Order | None:
    """Choose the next rung, or `None` where the decision in force is enough.

    A decision in force is escalated, or extended once half of it has passed or, if it is being
    ignored, by as much as a quarter at once; it is never repeated.

    Parameters
    ----------
    standing
        The account's latest decision.
    finding
        What has just been seen.
    now_s
        Event time, Unix seconds.
    counts
        Whether the latest decision counts as long as it has not run out.
    """
    held = standing.action if counts and standing.in_force(now_s) else "none"
    ignored = finding.ignored and held != "none"
    longer = 2 ** standing.strikes_at(now_s)
    if finding.ban and finding.kinds + ignored >= 2 and finding.warm:
        order = Order("ban", now_s + min(BAN_S * longer, BAN_S_MAX))
    elif finding.throttle or (ignored and held == "throttle"):
        order = Order("throttle", now_s + min(THROTTLE_S * longer, THROTTLE_S_MAX))
    else:
        return None
    asked, holds = _SEVERITY[order.action], _SEVERITY[held]
    if asked < holds or (asked == holds and order.expires_s <= standing.expires_s):
        return None
    if asked == holds and now_s < standing.half_way_s:
        gained_s = order.expires_s - standing.expires_s
        if not ignored or gained_s < _GAIN_MIN * (standing.expires_s - standing.issued_s):
            return None
    return order
