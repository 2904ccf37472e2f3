"""From what was seen to what is asked for: throttle, then ban, each with an end."""

from __future__ import annotations

from typing import Literal

import msgspec

from models.signals import DAY_S, HOUR_S

Rung = Literal["none", "throttle", "ban"]
_SEVERITY: dict[str, int] = {"none": 0, "throttle": 1, "ban": 2}

#: The first throttle: long enough to blunt a copy, short enough that a false one is forgotten the
#: same evening. Each further one doubles, up to a day.
THROTTLE_S = 1 * HOUR_S
THROTTLE_S_MAX = 1 * DAY_S
BAN_S = 1 * DAY_S
#: How long it takes until a strike weighs half.
_FORGIVING_S = 2 * DAY_S


class Standing(msgspec.Struct, array_like=True):
    """Where an account stands: its latest decision.

    Parameters
    ----------
    revision
        Decisions so far; 0 before the first.
    action
        The latest one.
    issued_s, expires_s
        Event time, Unix seconds.
    strikes
        Decisions so far, older ones weighing less.
    """

    revision: int = 0
    action: Rung = "none"
    issued_s: float = 0.0
    expires_s: float = 0.0
    strikes: float = 0.0

    def strikes_at(self, now_s: float) -> float:
        """Return what the strikes so far still weigh."""
        return float(self.strikes * 0.5 ** (max(now_s - self.issued_s, 0.0) / _FORGIVING_S))

    def follow(self, order: Order, now_s: float) -> Standing:
        """Return where the account stands once an order has been given."""
        return Standing(
            revision=self.revision + 1,
            action=order.action,
            issued_s=now_s,
            expires_s=order.expires_s,
            strikes=self.strikes_at(now_s) + 1,
        )

    def in_force(self, now_s: float) -> bool:
        """Whether the latest decision still holds."""
        return self.action != "none" and now_s < self.expires_s


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
    """

    throttle: bool
    ban: bool
    kinds: int
    warm: bool


class Order(msgspec.Struct, frozen=True):
    """What the policy asks for, until when (event time, Unix seconds)."""

    action: Literal["throttle", "ban"]
    expires_s: float


def decide(standing: Standing, finding: Finding, now_s: float) -> Order | None:
    """Choose the next rung, or `None` where the decision in force is enough.

    A decision in force is escalated, or extended once half of it has passed; it is never
    repeated.

    Parameters
    ----------
    standing
        The account's latest decision.
    finding
        What has just been seen.
    now_s
        Event time, Unix seconds.
    """
    if finding.ban and finding.kinds >= 2 and finding.warm:
        order = Order("ban", now_s + BAN_S)
    elif finding.throttle:
        again = THROTTLE_S * 2 ** standing.strikes_at(now_s)
        order = Order("throttle", now_s + min(again, THROTTLE_S_MAX))
    else:
        return None
    if standing.in_force(now_s):
        held, asked = _SEVERITY[standing.action], _SEVERITY[order.action]
        half_way_s = (standing.issued_s + standing.expires_s) / 2
        if asked < held or (asked == held and now_s < half_way_s):
            return None
    return order
