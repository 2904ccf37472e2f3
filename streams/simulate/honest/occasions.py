"""What befalls honest customers: a viral pair, a class, a bulk download, an outage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.simulate.accounts import Accounts
from streams.simulate.catalogue import Catalogue, Shelf
from streams.simulate.draws import Draws, Flags, Floats, Ints
from streams.simulate.honest.sessions import DAY_S
from streams.simulate.people import KINDS
from streams.simulate.rows import (
    DOWNLOAD,
    NOBODY,
    VIEW,
    Rows,
    concatenate,
    new_rows,
    ragged_arange,
    running_sum,
)

#: Share of all people who open the viral pair, and the evening (UTC hours) on which they do.
VIRAL_SHARE = 0.35
VIRAL_HOURS = (17.0, 23.0)
#: A class: the day's hour (UTC), its length, the pairs of the task and how many each looks at.
CLASS_HOURS = (10.0, 12.0)
CLASS_PAIRS = 120
CLASS_LOOKS = (60, 110)
#: A client's own bulk download: a few requests a second.
BULK_GAP_S = (0.35, 0.5)
RETRIES_MAX = 6
RETRY_GAP_S = (6.0, 0.9)


@dataclass(frozen=True)
class Disturbance:
    """A time in which the service fails or drags for everybody (Unix seconds)."""

    start_s: float
    end_s: float
    error_share: float
    slowdown: float


def visits(
    accounts: Accounts,
    draws: Draws,
    day: int,
    slot: Ints,
    ts: Floats,
    action: Ints,
    pair: Ints,
    owner: Ints,
) -> Rows:
    """Make single requests, one pair each (`NOBODY`: none), from each account's first device."""
    number = np.zeros_like(slot)
    has = pair != NOBODY
    return new_rows(
        slot,
        ts,
        action,
        owner=np.where(has, owner, NOBODY),
        address=accounts.addresses(slot, number, day, number),
        fingerprint=accounts.fingerprint[slot, number],
        device=number,
        counts=has.astype(np.int64),
        pairs=pair[has],
    )


def viral(
    accounts: Accounts, catalogue: Catalogue, draws: Draws, day: int, begin: float
) -> list[Rows]:
    """Let a crowd open one ordinary pair in one evening."""
    honest = np.arange(accounts.honest_count)
    machines = _numbers(*(name for name, kind in KINDS.items() if kind.period_s is not None))
    people = honest[~np.isin(accounts.kind_of[honest], machines)]
    key = accounts.key[people]
    comes = draws.uniform("viral", key) < VIRAL_SHARE
    people, key = people[comes], key[comes]
    # The wave rises fast and ebbs slowly.
    low, high = VIRAL_HOURS
    hour = low + (high - low) * draws.uniform("viral-hour", key) ** 1.7
    pair = int(draws.uniform("viral-pair", day)[0] * catalogue.size_on(day))
    looks = 1 + (draws.uniform("viral-looks", key) ** 3 * 4).astype(np.int64)
    slot = np.repeat(people, looks)
    ts = np.repeat(begin + hour * 3600.0, looks) + ragged_arange(looks) * 41.3
    pairs = np.full(len(slot), pair, dtype=np.int64)
    action = np.full(len(slot), VIEW, dtype=np.int64)
    return [visits(accounts, draws, day, slot, ts, action, pairs, catalogue.owner_slot[pairs])]


def lessons(
    accounts: Accounts, catalogue: Catalogue, shelf: Shelf, draws: Draws, day: int, begin: float
) -> list[Rows]:
    """Give each class its task: the same pairs in the same two hours, each in its own order."""
    parts = []
    for circle in accounts.circles.get("student", []):
        task = shelf.popular(
            draws.uniform("task", circle.number, np.arange(CLASS_PAIRS)),
            np.full(CLASS_PAIRS, -1, dtype=np.int64),
        )
        for member in circle.slots:
            rng = draws.generator("lesson", member)
            looks = rng.choice(task, size=int(rng.integers(*CLASS_LOOKS)), replace=False)
            low, high = CLASS_HOURS
            ts = np.sort(begin + 3600.0 * rng.uniform(low, high, len(looks)))
            slot = np.full(len(looks), member, dtype=np.int64)
            action = rng.choice([VIEW, VIEW, VIEW, DOWNLOAD], size=len(looks)).astype(np.int64)
            owner = catalogue.owner_slot[looks]
            parts.append(visits(accounts, draws, day, slot, ts, action, looks, owner))
    return parts


def bulk_downloads(
    accounts: Accounts,
    catalogue: Catalogue,
    shelf: Shelf,
    draws: Draws,
    day: int,
    days: float,
    begin: float,
) -> list[Rows]:
    """Let some download all they own, by program, on one day of the run."""
    parts = []
    kinds = _numbers(*(name for name, kind in KINDS.items() if kind.bulk_download))
    for member in np.flatnonzero(np.isin(accounts.kind_of, kinds)).tolist():
        rng = draws.generator("bulk", int(accounts.key[member]))
        own = int(shelf.own_counts[member])
        if day != int(rng.uniform(0.0, max(days, 1.0))) or own == 0:
            continue
        start = begin + rng.uniform(0.1, 0.6) * min(days, 1.0) * DAY_S
        ts = start + np.cumsum(rng.lognormal(np.log(BULK_GAP_S[0]), BULK_GAP_S[1], own))
        first = int(catalogue.own_starts[member])
        slot = np.full(own, member, dtype=np.int64)
        action = np.full(own, DOWNLOAD, dtype=np.int64)
        pairs = catalogue.by_owner[first : first + own]
        parts.append(visits(accounts, draws, day, slot, ts, action, pairs, slot))
    return parts


def disturb(rows: Rows, trouble: Disturbance, accounts: Accounts, draws: Draws) -> Rows:
    """Let requests fail and drag; clients try again until one goes through or they give up."""
    within = (rows.ts >= trouble.start_s) & (rows.ts < trouble.end_s)
    if not within.any():
        return rows
    failed = within & _fails(rows, trouble, accounts, draws)
    victims = rows.take(failed)
    key, tick = accounts.key[victims.slot], _tick(victims)
    tries = 1 + (draws.uniform("tries", key, tick) * RETRIES_MAX).astype(np.int64)
    retries = victims.take(np.repeat(np.arange(len(victims)), tries))
    gaps = draws.lognormal(
        *RETRY_GAP_S, "retry", np.repeat(key, tries), np.repeat(tick, tries), ragged_arange(tries)
    )
    retries.ts = retries.ts + running_sum(gaps, tries)
    answered = (retries.ts >= trouble.end_s) | ~_fails(retries, trouble, accounts, draws)
    # Nobody tries again once an answer has come.
    pending = running_sum(answered.astype(np.float64), tries) - answered < 1
    retries, answered = retries.take(pending), answered[pending]
    for part, failing in ((rows, failed), (retries, ~answered)):
        part.without_pairs(failing)
        part.status = np.where(failing, 503, part.status)
    rows = concatenate([rows, retries])
    dragged = (rows.ts >= trouble.start_s) & (rows.ts < trouble.end_s)
    rows.slowdown = np.where(dragged, rows.slowdown * trouble.slowdown, rows.slowdown)
    return rows


def _fails(rows: Rows, trouble: Disturbance, accounts: Accounts, draws: Draws) -> Flags:
    luck = draws.uniform("fails", accounts.key[rows.slot], _tick(rows))
    return np.asarray(luck < trouble.error_share)


def _tick(rows: Rows) -> Ints:
    """Return the time in whole milliseconds: what tells an account's requests apart."""
    return np.round(rows.ts * 1000.0).astype(np.int64)


def _numbers(*names: str) -> list[int]:
    kinds = list(KINDS)
    return [kinds.index(name) for name in names]
