"""What an attack is, and how it becomes requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streams.simulate.accounts import Accounts, random_addresses
from streams.simulate.attacks.paces import Pace
from streams.simulate.catalogue import PRIVATE_FROM, Catalogue
from streams.simulate.draws import Draws, Floats, Ints
from streams.simulate.honest.sessions import DAY_S
from streams.simulate.rows import DOWNLOAD, GENERATE, LIST, NOBODY, SEARCH, VIEW, Rows, new_rows

#: The first Saturday evening of Unix time, which began on a Thursday: the office is empty.
SATURDAY_NIGHT_S = 2 * DAY_S + 20 * 3600.0
PAGE = 60
SEARCH_PAGE = 30


@dataclass
class Loot:
    """What a member's requests took, in order: one action and owner a request."""

    action: Ints
    owner: Ints
    counts: Ints
    pairs: Ints


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a way of taking may use: randomness, the requests' number, and what is there.

    `wanted` is the member's shard of the catalogue without its own pairs, in the order in which
    the attack reads.
    """

    rng: np.random.Generator
    requests: int
    wanted: Ints
    catalogue: Catalogue
    day: int
    slot: int


Taking = Callable[[Scene], Loot]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack: who, when, how fast, and what it takes.

    Parameters
    ----------
    summary
        One line for people.
    pace, taking
        How fast a member goes, and what each request takes.
    members
        Accounts that take part.
    background
        Kind of their honest life; `None` for accounts made for the purpose.
    keeps_habits
        Whether the honest life goes on beside the attack.
    begins
        Share of the run after which it begins; `None` is Saturday night, 20:00 UTC (in a run
        without one: after three fifths).
    lasts_s
        How long it goes on, at most to the end of the run; `None` is to the end.
    sequential
        Reads pairs by their numbers; otherwise shuffled, without repeats.
    shards
        Whether members divide the catalogue, instead of each reading all of it.
    by_page
        Whether what they take, and divide, are pages of the feed of everything instead of pairs.
    address
        `own`: that of the honest life; `new`: another network from the start of the attack on;
        `each`: a new one for every request; `same`: all members in one network.
    new_client, same_client
        Another client and device than before; or one common fingerprint for all members.
    links
        Link types whose value all members share.
    mixed_links
        Link types with that many values among the members: none covers all, together they do.
    stagger
        Members begin one by one, over this share of the attack's time; until then they are
        honest.
    bystanders
        Honest colleagues under the same links.
    load
        Error share and slowdown that everybody suffers meanwhile.
    """

    summary: str
    pace: Pace
    taking: Taking
    members: int = 1
    background: str | None = "casual"
    keeps_habits: bool = False
    begins: float | None = 0.3
    lasts_s: float | None = None
    sequential: bool = False
    shards: bool = True
    by_page: bool = False
    address: str = "own"
    new_client: bool = False
    same_client: bool = False
    links: tuple[str, ...] = ()
    mixed_links: tuple[tuple[str, int], ...] = ()
    stagger: float = 0.0
    bystanders: int = 0
    load: tuple[float, float] | None = None

    def span(self, start_s: float, days: float) -> tuple[float, float]:
        """Return when the attack starts and ends, in Unix seconds."""
        length_s = days * DAY_S
        begins = (SATURDAY_NIGHT_S - start_s) % (7 * DAY_S)
        if self.begins is not None:
            begins = self.begins * length_s
        elif begins >= length_s:
            begins = 0.6 * length_s
        lasts = length_s if self.lasts_s is None else self.lasts_s
        return start_s + begins, start_s + min(begins + lasts, length_s)

    def member_begins(self, span: tuple[float, float]) -> Floats:
        """Return when each member begins, in Unix seconds."""
        turn = np.arange(self.members) / self.members
        return np.asarray(span[0] + (span[1] - span[0]) * self.stagger * turn)


def one_by_one(scene: Scene) -> Loot:
    """Take one pair with each request."""
    pairs = scene.wanted[: scene.requests]
    action = np.where(scene.rng.random(len(pairs)) < 0.75, VIEW, DOWNLOAD)
    owner = scene.catalogue.owner_slot[pairs]
    return Loot(action, owner, np.ones(len(pairs), dtype=np.int64), pairs)


def page_then_each(scene: Scene) -> Loot:
    """List a page of sixty, take each of its pairs, list the next."""
    turn = np.arange(min(scene.requests, len(scene.wanted) // PAGE * (PAGE + 1)))
    listing = turn % (PAGE + 1) == 0
    page = turn // (PAGE + 1)
    counts = np.where(listing, PAGE, 1)
    first = page * PAGE + np.where(listing, 0, turn % (PAGE + 1) - 1)
    offsets = np.cumsum(counts) - counts
    at = np.repeat(first - offsets, counts) + np.arange(int(counts.sum()))
    pairs = scene.wanted[at]
    owner = np.where(listing, NOBODY, scene.catalogue.owner_slot[scene.wanted[first]])
    return Loot(np.where(listing, LIST, DOWNLOAD), owner, counts, pairs)


def turning(scene: Scene) -> Loot:
    """Turn the member's pages of the feed and open nothing."""
    pages = min(scene.requests, -(-len(scene.wanted) // PAGE))
    pairs = scene.wanted[: pages * PAGE]
    counts = np.minimum(PAGE, len(pairs) - PAGE * np.arange(pages))
    nobody = np.full(pages, NOBODY, dtype=np.int64)
    return Loot(np.full(pages, LIST, dtype=np.int64), nobody, counts, pairs)


def searching(scene: Scene) -> Loot:
    """Go through search results: topic by topic, page by page, down to the bottom."""
    shelf = scene.catalogue.shelf(scene.day)
    pages = min(scene.requests, shelf.size // SEARCH_PAGE)
    begin = int(scene.rng.integers(shelf.size))
    at = (begin + np.arange(pages * SEARCH_PAGE)) % shelf.size
    counts = np.full(pages, SEARCH_PAGE, dtype=np.int64)
    nobody = np.full(pages, NOBODY, dtype=np.int64)
    return Loot(np.full(pages, SEARCH, dtype=np.int64), nobody, counts, shelf.order[at])


def revisiting(share: float) -> Taking:
    """Take one pair with each request; a share of them again, to look less novel."""

    def taking(scene: Scene) -> Loot:
        again = scene.rng.random(scene.requests) < share
        again[:1] = False
        new = np.cumsum(~again) - 1
        keep = new < len(scene.wanted)
        again, new = again[keep], new[keep]
        # What has been seen lately is seen again, as people do.
        back = np.minimum(scene.rng.geometric(0.02, len(new)), new)
        pairs = scene.wanted[np.where(again, new - back, new)]
        ones = np.ones(len(pairs), dtype=np.int64)
        return Loot(ones * VIEW, scene.catalogue.owner_slot[pairs], ones, pairs)

    return taking


def generating(scene: Scene) -> Loot:
    """Generate without end: nothing is copied, the service suffers."""
    ones = np.ones(scene.requests, dtype=np.int64)
    made = PRIVATE_FROM | scene.rng.integers(0, PRIVATE_FROM, scene.requests, dtype=np.int64)
    return Loot(ones * GENERATE, ones * scene.slot, ones, made)


def carry_out(
    name: str,
    attack: Attack,
    slots: Ints,
    span: tuple[float, float],
    intensity: float,
    accounts: Accounts,
    catalogue: Catalogue,
    draws: Draws,
    day: int,
) -> list[Rows]:
    """Make all of an attack's requests, member by member; `day` is the one it starts on."""
    order = _order(name, attack, catalogue, draws, day)
    parts = []
    begins = attack.member_begins(span).tolist()
    for member, slot in enumerate(slots.tolist()):
        rng = draws.generator(f"attack/{name}", 1 + member)
        times = attack.pace(rng, float(accounts.zone_s[slot]), begins[member], span[1], intensity)
        shard = (order[member :: len(slots)] if attack.shards else order).ravel()
        scene = Scene(
            rng=rng,
            requests=len(times),
            wanted=shard[catalogue.owner_slot[shard] != slot],
            catalogue=catalogue,
            day=day,
            slot=slot,
        )
        parts.append(_member_rows(attack, scene, attack.taking(scene), times, accounts))
    return parts


def _order(name: str, attack: Attack, catalogue: Catalogue, draws: Draws, day: int) -> Ints:
    """Return what there is to take, in the order in which it is taken: pairs, or pages of them."""
    order: Ints = np.arange(catalogue.size_on(day))
    if attack.by_page:
        # The feed of everything, which stands behind those of the topics.
        order = catalogue.shelf(day).order[len(order) :]
        order = np.stack(np.split(order[: len(order) // PAGE * PAGE], len(order) // PAGE))
    return order if attack.sequential else draws.generator(f"attack/{name}").permutation(order)


def _member_rows(
    attack: Attack, scene: Scene, loot: Loot, times: Floats, accounts: Accounts
) -> Rows:
    count = len(loot.action)
    slot = np.full(count, scene.slot, dtype=np.int64)
    zeros = np.zeros(count, dtype=np.int64)
    device = zeros + (2 if attack.new_client else 0)
    if attack.address == "each":
        address = random_addresses(scene.rng.random(count))
    else:
        address = accounts.addresses(slot[:1], zeros[:1], scene.day, zeros[:1]).repeat(count)
        if attack.address == "new":
            address = random_addresses(scene.rng.random(1)).repeat(count)
    return new_rows(
        slot,
        times[:count],
        loot.action,
        owner=loot.owner,
        address=address,
        fingerprint=accounts.fingerprint[slot, device],
        device=device,
        counts=loot.counts,
        pairs=loot.pairs,
        attack=True,
    )
