"""Waking dormant accounts for an attack: their past, their links, their requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.simulate.accounts import Accounts, Circle
from streams.simulate.attacks.copier import Attack, carry_out
from streams.simulate.attacks.table import ATTACKS, RANGE
from streams.simulate.catalogue import Catalogue
from streams.simulate.draws import Draws, Ints
from streams.simulate.honest.occasions import Disturbance
from streams.simulate.honest.sessions import DAY_S
from streams.simulate.people import KINDS
from streams.simulate.rows import Rows, concatenate

#: What the members of an inconspicuous crowd share: a common client in a common network.
COMMON_FINGERPRINT = 2
COMMON_NETWORK = 1


@dataclass
class Campaign:
    """One attack under way: its requests in time order, who does it, and what it does to all."""

    name: str
    members: Ints
    bystanders: Ints
    #: What ties the members together, for the labels; `None` for one who acts alone.
    group: str | None
    rows: Rows
    disturbance: Disturbance | None

    def between(self, start_s: float, end_s: float) -> Rows:
        """Return the requests of a span of time (Unix seconds), its end excluded."""
        first, last = np.searchsorted(self.rows.ts, [start_s, end_s])
        return self.rows.take(np.arange(first, last))


def wake(
    name: str,
    accounts: Accounts,
    catalogue: Catalogue,
    draws: Draws,
    start_s: float,
    days: float,
    intensity: float,
) -> Campaign:
    """Prepare an attack on a run: changes nothing but the dormant accounts of its own range."""
    attack = ATTACKS[name]
    first = accounts.honest_count + list(ATTACKS).index(name) * RANGE
    everybody = np.arange(first, first + attack.members + attack.bystanders, dtype=np.int64)
    members, bystanders = everybody[: attack.members], everybody[attack.members :]
    span = attack.span(start_s, days)
    if attack.background is not None:
        accounts.set_kind(everybody, attack.background)
    if not attack.keeps_habits:
        accounts.until_s[members] = attack.member_begins(span)
    group = _tie(attack, everybody, accounts)
    if attack.address == "same":
        accounts.network[members] = COMMON_NETWORK
    if attack.same_client:
        accounts.fingerprint[members] = COMMON_FINGERPRINT
        group = f"asn+ja4:{name}"
    elif group is None and attack.members > 1:
        group = f"manner:{name}"
    day = int((span[0] - start_s) // DAY_S)
    parts = carry_out(name, attack, members, span, intensity, accounts, catalogue, draws, day)
    rows = concatenate(parts)
    disturbance = None
    if attack.load is not None:
        share, slowdown = attack.load
        disturbance = Disturbance(
            *span, error_share=min(share * intensity, 0.9), slowdown=1 + (slowdown - 1) * intensity
        )
    return Campaign(
        name=name,
        members=members,
        bystanders=bystanders,
        group=group,
        rows=rows.take(np.argsort(rows.ts, kind="stable")),
        disturbance=disturbance,
    )


def _tie(attack: Attack, everybody: Ints, accounts: Accounts) -> str | None:
    """Give the members their links; return the first as the group's name."""
    slots = everybody.tolist()
    kind = KINDS[attack.background or "casual"]
    group = None
    if attack.links:
        accounts.tie(Circle(slots[0], slots), attack.links, kind)
        group = f"{attack.links[0]}:{accounts.link_value(attack.links[0], slots[0])}"
    for link, values in attack.mixed_links:
        for value in range(values):
            accounts.tie(Circle(slots[value], slots[value::values]), (link,), kind)
    if attack.mixed_links:
        group = "+".join(link for link, _ in attack.mixed_links) + f":{slots[0]}"
    return group
