"""A simulated world: day by day, what its customers request and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import msgspec
import numpy as np

from models.request import Request
from streams.errors import OperatorError
from streams.simulate import mix as mixes
from streams.simulate.accounts import Accounts, address_text, asn_of, fingerprint_texts
from streams.simulate.attacks.campaign import Campaign, wake
from streams.simulate.catalogue import Catalogue, Shelf
from streams.simulate.draws import Draws, Floats, Ints
from streams.simulate.honest import occasions
from streams.simulate.honest.reading import read
from streams.simulate.honest.sessions import DAY_S, sessions_of
from streams.simulate.people import KINDS
from streams.simulate.rows import (
    ACTIONS,
    NOBODY,
    Rows,
    concatenate,
    ragged_arange,
)

#: Monday 2024-02-26T00:00:00Z: the Saturday night of the incident falls into the first week.
START_S = 1_708_905_600.0
ACCOUNTS_MIN = 100
CATALOGUE_MIN = 1_000
#: Days that fit into a request id beside the account and its requests of a day.
DAYS_MAX = 500.0
#: Rows made into objects at a time: bounds what one day costs beyond its columns.
_CHUNK_ROWS = 10_000
#: By action: typical bytes of an answer (beside those for each listed pair) and milliseconds.
_BYTES = np.array([1_400_000, 60_000, 1_600_000, 2_500, 2_500, 400])
_BYTES_PER_PAIR = np.array([0, 0, 0, 620, 620, 0])
_DURATION_MS = np.array([4_200.0, 35.0, 120.0, 60.0, 140.0, 15.0])
_ERROR_BYTES = 280
_STATUSES = np.array([404, 500, 304])
_STATUS_BOUNDS = np.array([0.004, 0.005, 0.02])


class Label(msgspec.Struct, frozen=True):
    """What is true of one account that was seen.

    `pairs_total` counts the distinct published pairs of other owners that it was sent in the
    whole run; `attack_start_s` and `attack_end_s` are its first and last request of the attack.
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


class World:
    """One seeded run of one scenario; see `simulate`."""

    def __init__(
        self,
        mix: mixes.Mix,
        *,
        seed: int,
        accounts: int,
        days: float,
        attacks: Sequence[str],
        intensity: float,
        start_s: float,
        catalogue_size: int,
        growth_per_day: float,
    ) -> None:
        self.seed, self.days, self.start_s, self.intensity = seed, days, start_s, intensity
        self.end_s = start_s + days * DAY_S
        self.days_count = int(np.ceil(days))
        self._mix = mix
        self._draws = Draws(seed)
        self.accounts = Accounts(self._draws, accounts, mixes.shares_of(mix))
        self.catalogue = Catalogue(
            self._draws,
            catalogue_size,
            growth_per_day,
            self.days_count,
            self.accounts.key,
            self.accounts.owned,
        )
        self.campaigns: list[Campaign] = [
            wake(name, self.accounts, self.catalogue, self._draws, start_s, days, intensity)
            for name in attacks
        ]
        self._fingerprints = fingerprint_texts(self._draws)
        self._tally: _Tally | None = None

    @property
    def catalogue_size(self) -> int:
        """Published pairs at the end of the run."""
        return self.catalogue.size

    def events(self) -> Iterator[Request]:
        """Return a fresh iterator over all requests in time order."""
        tally = _Tally(self)
        for rows, numbers in self._days():
            tally.add(rows)
            for first in range(0, len(rows), _CHUNK_ROWS):
                order = np.arange(first, min(first + _CHUNK_ROWS, len(rows)))
                yield from self._requests(rows.take(order), numbers[order])
        self._tally = tally

    @property
    def labels(self) -> list[Label]:
        """One label for each account that was seen, in the order of their ids.

        After a finished pass over `events` it costs nothing; before, it walks through the run.
        """
        if self._tally is None:
            tally = _Tally(self)
            for rows, _ in self._days():
                tally.add(rows)
            self._tally = tally
        return self._tally.labels()

    @cached_property
    def _disturbances(self) -> list[occasions.Disturbance]:
        found = [campaign.disturbance for campaign in self.campaigns]
        if "outage" in self._mix.occasions:
            begins = (
                self.start_s + (0.55 * self.days_count // 1 + 0.6) * min(1.0, self.days) * DAY_S
            )
            found.append(occasions.Disturbance(begins, begins + 1_200.0, 0.93, 3.0))
        return [disturbance for disturbance in found if disturbance is not None]

    def _days(self) -> Iterator[tuple[Rows, Ints]]:
        """Make the run a day at a time: rows in time order, and each row's request number."""
        base = self.catalogue.shelf(0)
        late: list[Rows] = []
        for day in range(self.days_count):
            begin = self.start_s + day * DAY_S
            end = min(begin + DAY_S, self.end_s)
            rows = concatenate(self._ordinary(day, self.catalogue.shelf(day), base))
            within = (rows.ts >= self.accounts.from_s[rows.slot]) & (
                rows.ts < self.accounts.until_s[rows.slot]
            )
            rows = concatenate(
                [rows.take(within), *(c.between(begin, end) for c in self.campaigns)]
            )
            for disturbance in self._disturbances:
                rows = occasions.disturb(rows, disturbance, self.accounts, self._draws)
            rows = concatenate([rows, *late])
            rows.ts = np.round(rows.ts, 3)
            late = [rows.take(rows.ts >= end)]
            rows = rows.take(rows.ts < end)
            rows = rows.take(np.lexsort((rows.ts, rows.slot)))
            number = _within_account(rows.slot)
            self._answer(rows, day, number)
            order = np.argsort(rows.ts, kind="stable")
            ids = (self.accounts.key[rows.slot] << 38) | (day << 29) | number
            yield rows.take(order), ids[order]

    def _ordinary(self, day: int, shelf: Shelf, base: Shelf) -> list[Rows]:
        """Return the honest requests that begin on a day."""
        accounts, draws, begin = self.accounts, self._draws, self.start_s + day * DAY_S
        parts = []
        for number, kind in enumerate(KINDS.values()):
            slots = np.flatnonzero(accounts.kind_of == number)
            sessions = sessions_of(kind, slots, accounts, draws, day, self.days, self.start_s)
            parts.append(read(kind, sessions, accounts, self.catalogue, shelf, base, draws, day))
        happens = self._mix.occasions
        if "viral" in happens and day == int(0.35 * self.days):
            parts += occasions.viral(accounts, self.catalogue, draws, day, begin)
        if "lesson" in happens and day == int(0.2 * self.days):
            parts += occasions.lessons(accounts, self.catalogue, shelf, draws, day, begin)
        if "bulk-download" in happens:
            parts += occasions.bulk_downloads(
                accounts, self.catalogue, shelf, draws, day, self.days, begin
            )
        return parts

    def _answer(self, rows: Rows, day: int, number: Ints) -> None:
        """Let a few requests fail, as they do."""
        luck = self._draws.uniform("luck", day, self.accounts.key[rows.slot], number)
        fate = np.searchsorted(_STATUS_BOUNDS, luck, side="right")
        ill = (fate < len(_STATUSES)) & (rows.status == 200)
        ill &= (fate != 2) | np.isin(rows.action, (1, 2))
        rows.status = np.where(ill, np.append(_STATUSES, 200)[fate], rows.status)
        rows.without_pairs(rows.status >= 400)

    def _requests(self, rows: Rows, numbers: Ints) -> Iterator[Request]:
        sizes, durations = self._costs(rows, numbers)
        catalogue, accounts = self.catalogue, self.accounts
        pairs = catalogue.name_all(rows.pairs)
        ids = accounts.ids
        last = 0
        request_ids = self._draws.bits("request", numbers).tolist()
        for (
            slot,
            ts,
            action,
            owner,
            address,
            asn,
            client,
            count,
            status,
            size,
            duration,
            rid,
        ) in zip(
            rows.slot.tolist(),
            rows.ts.tolist(),
            rows.action.tolist(),
            rows.owner.tolist(),
            rows.address.tolist(),
            asn_of(rows.address).tolist(),
            rows.fingerprint.tolist(),
            rows.counts.tolist(),
            rows.status.tolist(),
            sizes.tolist(),
            durations.tolist(),
            request_ids,
            strict=True,
        ):
            first, last = last, last + count
            agent, ja4 = self._fingerprints[client]
            yield Request(
                ts,
                f"{rid:016x}",
                ids[slot],
                ACTIONS[action],
                pairs[first:last],
                None if owner == NOBODY else ids[owner],
                address_text(address),
                agent,
                ja4,
                asn,
                accounts.links[slot],
                status,
                size,
                duration,
            )

    def _costs(self, rows: Rows, numbers: Ints) -> tuple[Ints, Floats]:
        """Return bytes and milliseconds of each answer."""
        draws = self._draws
        failed = rows.status != 200
        typical = _BYTES[rows.action] + _BYTES_PER_PAIR[rows.action] * rows.counts
        size = np.where(
            failed, _ERROR_BYTES, typical * draws.lognormal(1.0, 0.35, "bytes", numbers)
        )
        duration = _DURATION_MS[rows.action] * draws.lognormal(1.0, 0.4, "duration", numbers)
        return size.astype(np.int64), np.round(duration * rows.slowdown, 1)


class _Tally:
    """Counts, along a pass, what the labels say.

    Memory: eight bytes for each distinct pair of an account, and as much again for the day.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        total = world.accounts.total
        self._taken = np.zeros(0, dtype=np.int64)
        self._seen = np.zeros(total, dtype=np.bool_)
        self._first_s = np.full(total, np.inf)
        self._last_s = np.full(total, -np.inf)

    def add(self, rows: Rows) -> None:
        self._seen[rows.slot] = True
        slot = np.repeat(rows.slot, rows.counts)
        published = rows.pairs < self._world.catalogue.size
        slot, pairs = slot[published], rows.pairs[published]
        foreign = self._world.catalogue.owner_slot[pairs] != slot
        today = (slot[foreign] << 32) | pairs[foreign]
        self._taken = _distinct(np.concatenate([self._taken, _distinct(today)]))
        np.minimum.at(self._first_s, rows.slot[rows.attack], rows.ts[rows.attack])
        np.maximum.at(self._last_s, rows.slot[rows.attack], rows.ts[rows.attack])

    def labels(self) -> list[Label]:
        world, accounts = self._world, self._world.accounts
        totals = np.bincount(self._taken >> 32, minlength=accounts.total).tolist()
        attack_of: dict[int, str] = {}
        group_of: dict[int, str | None] = {}
        for campaign in world.campaigns:
            attack_of.update(dict.fromkeys(campaign.members.tolist(), campaign.name))
            members = [*campaign.members.tolist(), *campaign.bystanders.tolist()]
            group_of.update(dict.fromkeys(members, campaign.group))
        for kind, circles in accounts.circles.items():
            for circle in circles:
                group_of.update(dict.fromkeys(circle.slots, f"{kind}:{circle.number}"))
        labels = []
        for slot in np.flatnonzero(self._seen).tolist():
            attack = attack_of.get(slot)
            kind_number = int(accounts.kind_of[slot])
            labels.append(
                Label(
                    account_id=accounts.ids[slot],
                    kind=list(KINDS)[kind_number] if kind_number >= 0 else "none",
                    honest=attack is None,
                    attack=attack,
                    group=group_of.get(slot),
                    attack_start_s=_finite(self._first_s[slot]),
                    attack_end_s=_finite(self._last_s[slot]),
                    pairs_total=totals[slot],
                    intensity=world.intensity if attack else None,
                )
            )
        return sorted(labels, key=lambda label: label.account_id)


def _finite(time_s: float) -> float | None:
    return float(time_s) if np.isfinite(time_s) else None


def _distinct(numbers: Ints) -> Ints:
    """Sort and drop repeats: several times faster here than `np.unique`, which hashes."""
    numbers = np.sort(numbers)
    new = np.ones(len(numbers), dtype=np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]


def _within_account(slot: Ints) -> Ints:
    """Number the requests of each account, for rows sorted by account."""
    return ragged_arange(np.bincount(slot)[_distinct(slot)])


def simulate(
    name: str,
    *,
    seed: int,
    accounts: int | None = None,
    days: float | None = None,
    attacks: Sequence[str] | None = None,
    intensity: float = 1.0,
    start_s: float = START_S,
    catalogue_size: int = mixes.CATALOGUE_SIZE,
    growth_per_day: float = mixes.GROWTH_PER_DAY,
) -> World:
    """Build a simulated world; nothing is generated until its events or labels are read.

    Parameters
    ----------
    name
        A scenario of `streams.simulate.mix.MIXES`.
    seed
        Same seed and parameters: the same events, byte for byte.
    accounts
        Honest accounts, at least 100; attackers come on top. Default 2,000.
    days
        Length of the run, above 0 and at most 500. Default 7.
    attacks
        Attacks by name in place of the scenario's own; an empty sequence for none.
    intensity
        Multiplies what attacks do; 1 is normal, above 0 and at most 100.
    start_s
        Start in Unix seconds, midnight UTC of a Monday.
    catalogue_size, growth_per_day
        Pairs at the start (at least 1,000), and new pairs a day as a share of them.

    Raises
    ------
    OperatorError
        An unknown scenario or attack, or a parameter out of its range.
    """
    mix = mixes.find(name)
    chosen = mixes.check_attacks(mix.attacks if attacks is None else tuple(attacks))
    accounts = mixes.ACCOUNTS if accounts is None else accounts
    days = mixes.DAYS if days is None else days
    for what, value, low, high in (
        ("accounts", accounts, ACCOUNTS_MIN, 1 << 24),
        ("days", days, 0.01, DAYS_MAX),
        ("intensity", intensity, 0.01, 100.0),
        ("catalogue_size", catalogue_size, CATALOGUE_MIN, 1 << 31),
        ("growth_per_day", growth_per_day, 0.0, 1.0),
    ):
        if not low <= value <= high:
            raise OperatorError(f"{what}: {value} is not between {low} and {high}")
    return World(
        mix,
        seed=seed,
        accounts=accounts,
        days=days,
        attacks=chosen,
        intensity=intensity,
        start_s=start_s,
        catalogue_size=catalogue_size,
        growth_per_day=growth_per_day,
    )
