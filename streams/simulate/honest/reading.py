"""What honest customers do in a session: pages of feeds and searches, clicks, favourites, own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.simulate.accounts import Accounts
from streams.simulate.catalogue import PRIVATE_FROM, Catalogue, Shelf
from streams.simulate.draws import Draws, Flags, Floats, Ints, Keys
from streams.simulate.honest.sessions import Sessions
from streams.simulate.people import Kind
from streams.simulate.rows import (
    ACTIONS,
    DOWNLOAD,
    GENERATE,
    LIST,
    NOBODY,
    SEARCH,
    VIEW,
    Rows,
    new_rows,
    ragged_arange,
)

#: Queries that people come up with in a topic, asked by a Zipf law.
QUERIES = 300
#: Share of a topic that a query finds: from a name to a commonplace.
QUERY_FINDS = (0.02, 0.5)
#: Chance of asking for yet another page of results.
NEXT_PAGE = 0.4
FAVOURITES = 40
#: Of four tastes, the last is the feed of everything.
TASTES = np.cumsum([0.4, 0.2, 0.1, 0.3])
IMAGES_MAX = 4
#: A personal feed skips the same pairs for so long: who comes back sees much of it again.
FEED_DAYS = 3
#: Chance that what a maker looks at is what was just made, not an older pair.
JUST_MADE = 0.6


@dataclass
class Walk:
    """A way through a feed or a query's results: page rows hold theirs, others nothing.

    Position *n* of a walk that keeps the share *p* is ⌊(n + u·(1 − p)) / p⌋ with u drawn for *n*:
    increasing without repeats, skipping 1 − p of what is there, and open at any position.
    """

    key: Keys
    keeps: Floats
    start: Ints
    size: Ints
    first: Ints

    def at(self, rows: Ints, items: Ints, shelf: Shelf, draws: Draws) -> tuple[Ints, Flags]:
        """Return the pairs at items of the rows' pages, and which of them exist."""
        steps, keeps = self.first[rows] + items, self.keeps[rows]
        jitter = draws.uniform("walk", self.key[rows], steps) * (1.0 - keeps)
        position = np.floor((steps + jitter) / keeps).astype(np.int64)
        exists = position < self.size[rows]
        return shelf.order[self.start[rows] + np.where(exists, position, 0)], exists


def read(
    kind: Kind,
    sessions: Sessions,
    accounts: Accounts,
    catalogue: Catalogue,
    shelf: Shelf,
    base: Shelf,
    draws: Draws,
    day: int,
) -> Rows:
    """Turn a kind's sessions of one day into requests.

    `base` is the first day's shelf, on which favourites were found.
    """
    bits, of_row = sessions.row_bits, sessions.of_row
    slot = sessions.slot[of_row]
    weights = np.cumsum([kind.actions.get(action, 0.0) for action in ACTIONS])
    action = draws.pick(weights, "action", bits)
    looks = (action == VIEW) | (action == DOWNLOAD)
    paged = (action == LIST) | (action == SEARCH)
    member = (draws.uniform("member", bits) * accounts.team_size[slot]).astype(np.int64)
    owner = accounts.team_slots[accounts.team_start[slot] + member]
    owner_has = shelf.own_counts[owner]
    own = (looks | (action == LIST)) & (draws.uniform("own", bits) < kind.own)

    session_row = (np.cumsum(sessions.count) - sessions.count)[of_row]
    made_row = _last(action == GENERATE, session_row)
    fresh = own & looks & (made_row >= 0) & (draws.uniform("fresh", bits) < JUST_MADE)
    own &= fresh | (owner_has > 0)
    pages = np.flatnonzero(paged & ~own)
    walk, listed_row = _walks(kind, sessions, accounts, shelf, draws, day, action, paged & ~own)

    single = np.full(len(slot), NOBODY, dtype=np.int64)
    single[fresh] = _made(draws, bits[made_row[fresh]], np.zeros(int(fresh.sum()), np.int64))
    older = np.flatnonzero(own & looks & ~fresh)
    back = (draws.uniform("older", bits[older]) ** 2 * owner_has[older]).astype(np.int64)
    newest = catalogue.own_starts[owner[older]] + owner_has[older] - 1
    single[older] = catalogue.by_owner[newest - back]
    owner = np.where(fresh, slot, owner)
    foreign = np.flatnonzero(looks & ~own)
    single[foreign] = _foreign(
        kind, foreign, slot, sessions, walk, listed_row, shelf, base, accounts, draws
    )
    owner = np.where(own, owner, NOBODY)
    owner[foreign] = catalogue.owner_slot[single[foreign]]

    row_pages, pairs_pages = _page_pairs(pages, slot, walk, accounts, shelf, draws)
    own_pages = np.flatnonzero(own & (action == LIST))
    row_own, pairs_own = _own_pages(own_pages, slot, owner, accounts, catalogue, shelf, draws, bits)
    row_made, pairs_made = _generated(action, bits, draws)
    owner = np.where(action == GENERATE, slot, owner)
    singles = np.flatnonzero(single != NOBODY)
    row = np.concatenate([row_pages, row_own, row_made, singles])
    pairs = np.concatenate([pairs_pages, pairs_own, pairs_made, single[singles]])
    device = (draws.uniform("device", day, accounts.key[sessions.slot], sessions.number)
              < kind.mobile).astype(np.int64)  # fmt: skip
    address = accounts.addresses(sessions.slot, device, day, sessions.number)
    return new_rows(
        slot,
        sessions.ts,
        action,
        owner=owner,
        address=address[of_row],
        fingerprint=accounts.fingerprint[slot, device[of_row]],
        device=device[of_row],
        counts=np.bincount(row, minlength=len(slot)),
        pairs=pairs[np.argsort(row, kind="stable")],
    )


def _last(marked: Flags, session_row: Ints) -> Ints:
    """Return for each row the last marked row of its session up to it, −1 if there is none."""
    if not len(marked):
        return np.zeros(0, dtype=np.int64)
    found = np.maximum.accumulate(np.where(marked, np.arange(len(marked)), -1))
    return np.where(found >= session_row, found, -1)


def _walks(
    kind: Kind,
    sessions: Sessions,
    accounts: Accounts,
    shelf: Shelf,
    draws: Draws,
    day: int,
    action: Ints,
    page: Flags,
) -> tuple[Walk, Ints]:
    """Give each page row its walk, and each row the last page of its session."""
    slot, bits = sessions.slot[sessions.of_row], sessions.row_bits
    key = accounts.key[slot]
    taste = draws.pick(TASTES, "mood", day, accounts.key[sessions.slot], sessions.number)
    topic = np.where(taste == 3, -1, accounts.topics[sessions.slot, np.minimum(taste, 2)])
    topic = topic[sessions.of_row]
    session_row = (np.cumsum(sessions.count) - sessions.count)[sessions.of_row]
    listing = page & (action == LIST)
    before = np.cumsum(listing) - listing
    since = _account_row(slot) if kind.resumes else session_row
    turn = before - before[since] if len(slot) else before
    searching = action == SEARCH
    asked = np.where(topic < 0, accounts.topics[slot, 3], topic)
    topic = np.where(searching, asked, topic)
    query = np.floor(QUERIES ** draws.uniform("query", bits)).astype(np.int64)
    page_of_query = np.log(draws.uniform("next-page", bits)) / np.log(NEXT_PAGE)
    low, high = np.log(QUERY_FINDS)
    finds = np.exp(draws.between(low, high, "finds", topic + 1, query))
    feed_key = draws.bits("feed-of", day // FEED_DAYS, key)
    query_key = draws.bits("query-of", topic + 1, query)
    keeps = accounts.keeps[slot]
    if kind.first_page_only:
        topic, turn = np.full_like(topic, -1), np.zeros_like(turn)
        keeps = np.ones_like(keeps)
    start, size = shelf.slices(topic)
    pages = np.where(searching, page_of_query.astype(np.int64), turn)
    walk = Walk(
        key=np.where(searching, query_key, feed_key),
        keeps=np.where(searching, finds, keeps),
        start=start,
        size=size,
        first=pages * accounts.page_size[slot],
    )
    return walk, _last(page, session_row)


def _account_row(slot: Ints) -> Ints:
    """Return for each row the first row of its account."""
    if not len(slot):
        return slot
    starts = np.concatenate([[True], slot[1:] != slot[:-1]])
    return np.asarray(np.maximum.accumulate(np.where(starts, np.arange(len(slot)), 0)))


def _foreign(
    kind: Kind,
    rows: Ints,
    slot: Ints,
    sessions: Sessions,
    walk: Walk,
    listed_row: Ints,
    shelf: Shelf,
    base: Shelf,
    accounts: Accounts,
    draws: Draws,
) -> Ints:
    """Choose what is looked at: from the page before, a favourite, or what is popular."""
    bits, who = sessions.row_bits[rows], slot[rows]
    topic = accounts.topics[who, draws.pick(TASTES, "leaning", bits)]
    topic = np.where(draws.uniform("stray", bits) < 0.25, -1, topic)
    pairs = shelf.popular(draws.uniform("popular", bits), topic)
    chance = draws.uniform("how", bits)
    favourite = np.floor(FAVOURITES ** draws.uniform("favourite", bits)).astype(np.int64)
    found = base.popular(
        draws.uniform("favourites", accounts.key[who], favourite), accounts.topics[who, 0]
    )
    pairs = np.where(chance < kind.revisits, found, pairs)
    clicks = (chance >= 1.0 - kind.clicks) & (listed_row[rows] >= 0)
    listed = listed_row[rows[clicks]]
    item = draws.uniform("item", bits[clicks]) ** 2 * accounts.page_size[who[clicks]]
    shown, exists = walk.at(listed, item.astype(np.int64), shelf, draws)
    pairs[clicks] = np.where(exists, shown, pairs[clicks])
    return pairs


def _page_pairs(
    pages: Ints, slot: Ints, walk: Walk, accounts: Accounts, shelf: Shelf, draws: Draws
) -> tuple[Ints, Ints]:
    counts = accounts.page_size[slot[pages]]
    rows = np.repeat(pages, counts)
    pairs, exists = walk.at(rows, ragged_arange(counts), shelf, draws)
    return rows[exists], pairs[exists]


def _own_pages(
    pages: Ints,
    slot: Ints,
    owner: Ints,
    accounts: Accounts,
    catalogue: Catalogue,
    shelf: Shelf,
    draws: Draws,
    bits: Keys,
) -> tuple[Ints, Ints]:
    """List a page of what an account or its team owns, mostly the newest."""
    size = accounts.page_size[slot[pages]]
    has = shelf.own_counts[owner[pages]]
    page = (draws.uniform("own-page", bits[pages]) ** 3 * np.ceil(has / size)).astype(np.int64)
    counts = np.minimum(size, has - page * size)
    rows = np.repeat(pages, counts)
    back = np.repeat(page * size, counts) + ragged_arange(counts)
    newest = catalogue.own_starts[owner[rows]] + shelf.own_counts[owner[rows]] - 1
    return rows, catalogue.by_owner[newest - back]


def _generated(action: Ints, bits: Keys, draws: Draws) -> tuple[Ints, Ints]:
    rows = np.flatnonzero(action == GENERATE)
    counts = 1 + (draws.uniform("images", bits[rows]) ** 2 * IMAGES_MAX).astype(np.int64)
    return np.repeat(rows, counts), _made(
        draws, np.repeat(bits[rows], counts), ragged_arange(counts)
    )


def _made(draws: Draws, bits: Keys, item: Ints) -> Ints:
    """Number the pairs that a request generated."""
    return PRIVATE_FROM | (draws.bits("made", bits, item) >> np.uint64(17)).astype(np.int64)
