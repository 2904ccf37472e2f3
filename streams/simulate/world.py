"""A simulated world: day by day, what its customers request and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from models.request import Request
from streams.errors import OperatorError
from streams.simulate import mix as mixes
from streams.simulate.accounts import Accounts
from streams.simulate.attacks.campaign import Campaign, wake
from streams.simulate.catalogue import Catalogue, Shelf
from streams.simulate.draws import Draws, Ints
from streams.simulate.emit import Emitter, answer
from streams.simulate.honest import occasions
from streams.simulate.honest.reading import read
from streams.simulate.honest.sessions import DAY_S, sessions_of
from streams.simulate.labels import Label, Tally
from streams.simulate.people import KINDS
from streams.simulate.rows import Rows, concatenate, ragged_arange

#: Monday 2024-02-26T00:00:00Z: the Saturday night of the incident falls into the first week.
START_S = 1_708_905_600.0
ACCOUNTS_MIN = 100
CATALOGUE_MIN = 1_000
#: Days that fit into a request id beside the account and its requests of a day.
DAYS_MAX = 500.0
#: Accounts worked out at a time: bounds what one day costs beside its columns.
_BLOCK_ACCOUNTS = 2_000
#: Rows made into objects at a time: bounds what one day costs beyond its columns.
_CHUNK_ROWS = 10_000


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
            self.accounts.owned,
        )
        self.campaigns: list[Campaign] = [
            wake(name, self.accounts, self.catalogue, self._draws, start_s, days, intensity)
            for name in attacks
        ]
        self._emitter = Emitter(self.accounts, self.catalogue, self._draws)
        self._tally: Tally | None = None

    @property
    def catalogue_size(self) -> int:
        """Published pairs at the end of the run."""
        return self.catalogue.size

    def events(self) -> Iterator[Request]:
        """Return a fresh iterator over all requests in time order."""
        tally = Tally(self.accounts, self.catalogue)
        for rows, numbers in self._days():
            tally.add(rows)
            for first in range(0, len(rows), _CHUNK_ROWS):
                order = np.arange(first, min(first + _CHUNK_ROWS, len(rows)))
                yield from self._emitter.requests(rows.take(order), numbers[order])
        self._tally = tally

    @property
    def labels(self) -> list[Label]:
        """One label for each account that was seen, in the order of their ids.

        After a finished pass over `events` it costs nothing; before, it walks through the run.
        """
        if self._tally is None:
            tally = Tally(self.accounts, self.catalogue)
            for rows, _ in self._days():
                tally.add(rows)
            self._tally = tally
        return self._tally.labels(self.campaigns, self.intensity)

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
            rows = concatenate(
                self._ordinary(day, self.catalogue.shelf(day) if day else base, base)
            )
            ordinary = rows.ts < self.accounts.until_s[rows.slot]
            rows = concatenate(
                [rows.take(ordinary), *(c.between(begin, end) for c in self.campaigns)]
            )
            for disturbance in self._disturbances:
                rows = occasions.disturb(rows, disturbance, self.accounts, self._draws)
            rows = concatenate([rows, *late])
            rows.ts = np.round(rows.ts, 3)
            late = [rows.take(rows.ts >= end)]
            rows = rows.take(rows.ts < end)
            rows = rows.take(np.lexsort((rows.ts, rows.slot)))
            # 26 bits of account, 9 of day and 29 of request: no two requests share a number.
            numbers = (
                (self.accounts.key[rows.slot] << 38) | (day << 29) | _within_account(rows.slot)
            )
            answer(rows, numbers, self._draws)
            order = np.argsort(rows.ts, kind="stable")
            yield rows.take(order), numbers[order]

    def _ordinary(self, day: int, shelf: Shelf, base: Shelf) -> list[Rows]:
        """Return the honest requests that begin on a day."""
        accounts, draws, begin = self.accounts, self._draws, self.start_s + day * DAY_S
        parts = []
        for number, kind in enumerate(KINDS.values()):
            slots = np.flatnonzero(accounts.kind_of == number)
            for block in np.array_split(slots, len(slots) // _BLOCK_ACCOUNTS + 1):
                sessions = sessions_of(
                    kind,
                    block,
                    accounts,
                    draws,
                    day,
                    self.days,
                    self.start_s,
                    holiday="holiday" in self._mix.occasions,
                )
                parts.append(
                    read(kind, sessions, accounts, self.catalogue, shelf, base, draws, day)
                )
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


def _within_account(slot: Ints) -> Ints:
    """Number the requests of each account, for rows sorted by account."""
    counts = np.bincount(slot)
    return ragged_arange(counts[counts > 0])


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
        Start in Unix seconds, at best a midnight UTC.
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
