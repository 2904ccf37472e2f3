"""The accounts' side: follows what each account chooses, and tells of it while it grows.

A page that is turned without opening any of its pairs is a choice, too: of what to be shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from models.facts import Facts
from models.groups.day import ALL, PAGE_COUNTS, PAGE_SAYS, PAGE_TENTHS_MAX, TOLD_FROM, Day, Page
from models.hashing import Hash64
from models.link_activity import VERSION, LinkActivity
from models.links import address_of, links_of
from models.population import Population
from models.profile import Profile
from models.request import ID_CHARS_MAX
from models.signals import DAY_S, HOUR_S

#: An account's links of a day that are told of: at home, on the way and at work.
_LINKS_MAX: Final = 10
#: From `TOLD_FROM` choices on an account is told of again as they grow by half.
_TOLD_GROWTH: Final = 1.5
#: After the first time a day is told of only while its evidence is above this (decibans): of nine
#: people in ten it isn't.
_TOLD_EVIDENCE_MIN: Final = 0.0
#: Whose day says so much (decibans) for a copier is told of whenever its choices have grown by a
#: fifth, and from the first one on the next day: what is found then need not wait.
_LOUD: Final = 10.0
_LOUD_GROWTH: Final = 1.2
#: So long an account is new.
_NEW_S: Final = 7 * DAY_S
_NOTHING: Final[list[LinkActivity]] = []


class Activities:
    """Follows what the accounts of a partition choose; one for each partition.

    Costs one look at the popularity for each choice; an account is told of as its choices grow
    by a constant factor, so that the records of a day grow with their logarithm.

    Parameters
    ----------
    population
        Knows what reading a pair says. It is only read here.
    load
        Returns an account's encoded choices, `None` if there are none.
    """

    def __init__(self, population: Population, load: Callable[[str], bytes | None]) -> None:
        self._population = population
        self._load = load
        self._days: dict[str, Day] = {}
        self._changed: dict[str, Day] = {}

    def observe(
        self, request: Facts, profile: Profile, pairs: list[Hash64], looks: list[int]
    ) -> list[LinkActivity]:
        """Take note of a request that is new, opens pairs and hasn't been learned from yet.

        Parameters
        ----------
        request
            The request.
        profile
            The account's, before it.
        pairs
            Hashes of the pairs of others that it opened, each once.
        looks
            What the pairs' popularity found at each.

        Returns
        -------
        A record for each of the account's links if it is time to tell of it.
        """
        day = self._live(request, profile)
        pair_ids, owner = request.pair_ids, request.owner_id
        if len(pairs) < len(pair_ids):
            pair_ids = list(dict.fromkeys(pair_ids))
        tenths = self._population.popularity.classes.tenths
        for n, look in enumerate(looks):
            if look >= 0:
                day.choose(pair_ids[n], pairs[n], tenths[look], owner)
        day.open()
        return self._follow(day, request, profile)

    def turn(self, request: Facts, profile: Profile, pairs: list[Hash64]) -> list[LinkActivity]:
        """Take note of a request, as `observe` does, that was shown these pairs and opened none.

        Nothing of what it shows counts before the next page is, without any of it opened.
        """
        popularity, day = self._population.popularity, self._live(request, profile)
        pair, page = min(pairs), None
        # Under the mark under which pages are learned from, see `models.judge`.
        looks = popularity.look(pairs, profile.mark + 1)
        if looks[pairs.index(pair)] >= 0:
            said = [popularity.classes.tenths[look] for look in looks if look >= 0]
            evidence = min(round(PAGE_SAYS * sum(said) / len(said)), PAGE_TENTHS_MAX)
            owner = request.owner_id and request.owner_id[:ID_CHARS_MAX]
            page = Page(pair & ALL, max(evidence, -128), owner, len(pairs))
        day.turn(page)
        return self._follow(day, request, profile)

    def _live(self, request: Facts, profile: Profile) -> Day:
        """Return an account's day, which is about to change."""
        account_id = request.account_id
        day = self._days.get(account_id)
        if day is None or request.ts >= day.ends_s:
            day = self._day_of(request, profile)
        if not day.is_changed:
            self._change(account_id, day)
        return day

    def _follow(self, day: Day, request: Facts, profile: Profile) -> list[LinkActivity]:
        """Take note of when and from where, and tell of the day if it is time to."""
        ts = request.ts
        day.manner.note(ts, download=request.action == "download")
        day.hours |= 1 << int(ts) // HOUR_S % 24
        if not request.is_from(day.client):
            day.client = request.client
            day.address = address_of(request.request)
            day.links += [one for one in links_of(request.request) if one not in day.links]
            del day.links[_LINKS_MAX:]
        # Before it is known what is popular, nobody can be told from those who read that.
        said = day.chosen + (PAGE_COUNTS - 1) * day.pages
        if said >= day.told_at and self._population.popularity.classes.has_read:
            weight = day.weight
            profile.is_loud = weight > _LOUD
            is_told = day.told_at <= TOLD_FROM or weight > _TOLD_EVIDENCE_MIN
            growth = _LOUD_GROWTH if profile.is_loud else _TOLD_GROWTH
            while day.told_at <= said:
                day.told_at = math.ceil(day.told_at * growth)
            if is_told:
                return self._tell(day, request, profile, weight)
        return _NOTHING

    def ties(self, account_id: str) -> tuple[tuple[str, ...], str]:
        """Return an account's links on the latest day it chose pairs, and its latest address."""
        day = self._known(account_id)
        return ((), "") if day is None else (tuple(day.links), day.address)

    def excuse(self, account_id: str, profile: Profile) -> None:
        """Begin an account's day anew: what it chose with people's leave is nobody's business."""
        profile.is_loud = False
        before = self._days[account_id]
        day = self._days[account_id] = Day(before.day, before.first_s)
        self._change(account_id, day)
        day.links, day.address, day.client = before.links, before.address, before.client

    def _change(self, account_id: str, day: Day) -> None:
        """Take note that an account's day is to be part of the next snapshot."""
        day.is_changed = True
        self._changed[account_id] = day

    def _day_of(self, request: Facts, profile: Profile) -> Day:
        """Take up an account's day, or begin the next."""
        account_id, number = request.account_id, int(request.ts // DAY_S)
        # Of an account whose day this begins there is nothing of today to be looked for.
        begins = profile.begins_day(request.ts)
        day = self._days.get(account_id) if begins else self._known(account_id)
        if day is None or day.day < number:
            day = Day(number, request.ts)
            if profile.is_loud:
                day.told_at = 1
        self._days[account_id] = day
        return day

    def _known(self, account_id: str) -> Day | None:
        day = self._days.get(account_id)
        if day is None and (data := self._load(account_id)):
            day = self._days[account_id] = Day.from_bytes(data)
        return day

    def _tell(
        self, day: Day, request: Facts, profile: Profile, weight: float
    ) -> list[LinkActivity]:
        pairs, evidence, owners = day.packed_sample()
        size = self._population.catalogue_size
        manner = day.manner.link(
            day.chosen - day.pages,
            day.pages,
            day.steps_up,
            day.steps,
            profile.requests_on(day.day) + 1,
            new=request.ts < profile.first_s + _NEW_S,
        )
        return [
            LinkActivity(
                version=VERSION,
                link=link,
                account_id=request.account_id,
                day=day.day,
                at_s=request.ts,
                request_id=request.request_id,
                chosen=day.chosen,
                weight=weight,
                first_s=day.first_s,
                hours=day.hours,
                steps_up=day.steps_up,
                steps=day.steps,
                catalogue_size=size,
                below=day.below,
                pairs=pairs,
                evidence=evidence,
                owners=owners,
                pages=day.pages,
                shown=day.shown,
            )
            for link in (*day.links, manner)
        ]

    def snapshot(self) -> dict[str, bytes]:
        """Encode the choices of the accounts that have changed since the last snapshot."""
        changed, self._changed = self._changed, {}
        for day in changed.values():
            day.is_changed = False
        return {account_id: day.to_bytes() for account_id, day in changed.items()}

    def forget(self, account_ids: Iterable[str]) -> None:
        """Let go of accounts whose snapshot is durable: they are loaded again when needed."""
        for account_id in account_ids:
            if account_id not in self._changed:
                self._days.pop(account_id, None)
