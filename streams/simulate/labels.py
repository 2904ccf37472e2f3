"""The truth beside the events: who is honest, who attacked when, and what each took."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streams.simulate.accounts import Accounts
from streams.simulate.attacks.campaign import Campaign
from streams.simulate.catalogue import Catalogue
from streams.simulate.draws import Ints
from streams.simulate.people import KINDS
from streams.simulate.rows import Rows


class Label(msgspec.Struct, frozen=True):
    """What is true of one account that was seen.

    Parameters
    ----------
    account_id, kind
        The account and its habits; `fresh` for an attacker without an honest life.
    honest
        False for members of an attack, honest colleagues under the same link are honest.
    attack, intensity
        The attack it takes part in, and the intensity it was told.
    group
        What ties it to others, if anything: `<link type>:<link value>` as in a group decision,
        or a name where no single link does.
    attack_start_s, attack_end_s
        Its first and last request of the attack, Unix seconds.
    pairs_total
        Distinct published pairs of other owners that it was sent in the whole run.
    """

    account_id: str
    kind: str
    honest: bool
    attack: str | None
    group: str | None
    attack_start_s: float | None
    attack_end_s: float | None
    pairs_total: int
    intensity: float | None


class Tally:
    """Counts, along a pass, what the labels say.

    Memory: eight bytes for each distinct pair of an account, and as much again for the day.
    """

    def __init__(self, accounts: Accounts, catalogue: Catalogue) -> None:
        self._accounts, self._catalogue = accounts, catalogue
        self._taken = np.zeros(0, dtype=np.int64)
        self._seen = np.zeros(accounts.total, dtype=np.bool_)
        self._first_s = np.full(accounts.total, np.inf)
        self._last_s = np.full(accounts.total, -np.inf)

    def add(self, rows: Rows) -> None:
        """Count the requests of a day."""
        self._seen[rows.slot] = True
        slot = np.repeat(rows.slot, rows.counts)
        published = rows.pairs < self._catalogue.size
        slot, pairs = slot[published], rows.pairs[published]
        foreign = self._catalogue.owner_slot[pairs] != slot
        today = distinct((slot[foreign] << 32) | pairs[foreign])
        self._taken = distinct(np.concatenate([self._taken, today]))
        np.minimum.at(self._first_s, rows.slot[rows.attack], rows.ts[rows.attack])
        np.maximum.at(self._last_s, rows.slot[rows.attack], rows.ts[rows.attack])

    def labels(self, campaigns: Sequence[Campaign], intensity: float) -> list[Label]:
        """Return a label for each account that was seen, in the order of the ids."""
        accounts = self._accounts
        totals = np.bincount(self._taken >> 32, minlength=accounts.total).tolist()
        attack_of: dict[int, str] = {}
        group_of: dict[int, str | None] = {}
        for campaign in campaigns:
            attack_of.update(dict.fromkeys(campaign.members.tolist(), campaign.name))
            everybody = [*campaign.members.tolist(), *campaign.bystanders.tolist()]
            group_of.update(dict.fromkeys(everybody, campaign.group))
        for name, circles in accounts.circles.items():
            shared = KINDS[name].together
            link = shared.links[0] if shared is not None and shared.links else None
            for circle in circles:
                group = f"{link}:{accounts.links[circle.slots[0]][link]}" if link else None
                group_of.update(dict.fromkeys(circle.slots, group or f"{name}:{circle.number}"))
        kinds = [*KINDS, "fresh"]
        labels = [
            Label(
                account_id=accounts.ids[slot],
                kind=kinds[accounts.kind_of[slot]],
                honest=slot not in attack_of,
                attack=attack_of.get(slot),
                group=group_of.get(slot),
                attack_start_s=_known(self._first_s[slot]),
                attack_end_s=_known(self._last_s[slot]),
                pairs_total=totals[slot],
                intensity=intensity if slot in attack_of else None,
            )
            for slot in np.flatnonzero(self._seen).tolist()
        ]
        return sorted(labels, key=lambda label: label.account_id)


def _known(time_s: float) -> float | None:
    return float(time_s) if np.isfinite(time_s) else None


def distinct(numbers: Ints) -> Ints:
    """Sort and drop repeats: several times faster here than `np.unique`, which hashes."""
    numbers = np.sort(numbers)
    new = np.ones(len(numbers), dtype=np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]
