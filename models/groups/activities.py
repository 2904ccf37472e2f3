"""The accounts' side: samples what each account chooses, and tells of it while it grows.

A page that is turned without opening any of its pairs is a choice, too: of what to be shown.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from models.facts import Client, Facts
from models.groups.day_state import DAY_VERSION, DayWire
from models.groups.manner import Manner
from models.hashing import Hash64, hash32
from models.link_activity import SAMPLE_MAX, VERSION, LinkActivity
from models.links import links_of
from models.population import Population
from models.profile import Profile
from models.profile_state import StateVersionError
from models.signals import DAY_S, HOUR_S

#: An account's links of a day that are told of: at home, on the way and at work.
_LINKS_MAX: Final = 10
#: First told of at this many choices, and again as they grow by half: a busy day is a dozen
#: records, and a copier is told of eight choices after its day began.
TOLD_FROM: Final = 8
_TOLD_GROWTH: Final = 1.5
#: After the first time a day is told of only while its evidence is above this (decibans): of nine
#: people in ten it isn't.
_TOLD_EVIDENCE_MIN: Final = 0.0
#: Whose day says so much (decibans) for a copier is told of whenever its choices have grown by a
#: fifth, and from the first one on the next day: what is found then need not wait.
_LOUD: Final = 10.0
_LOUD_GROWTH: Final = 1.2
#: Who looks closer at some of what pages show chooses among them, and not the page: so many pages
#: after a pair was opened are no choices, thirty after three or more.
_PAGES_AN_OPENING: Final = 10
_PAGES_AFTER_OPENINGS_MAX: Final = 30
#: So long an account is new.
_NEW_S: Final = 7 * DAY_S
#: Where every hash is kept.
ALL: Final = 2**32 - 1
#: Parts (0–1) of an account's choices that may be those of a person, weighed alike: a copier who
#: also lives a life of its own is still one. Beyond a half it is a person with odd corners.
HONEST_PARTS = (0.0, 0.25, 0.5)
#: What one choice may say for a copier, tenths of a deciban: two to one. Who comes upon an odd
#: corner opens several pairs there, which are no witnesses independent of each other, and two who
#: share one need a while to meet in it.
CHOICE_TENTHS_MAX: Final = 30
#: A page is known by all its pairs. They are no independent witnesses, but together say half as
#: much again as their mean: by that one honest account-day in 19,500 came to 20 decibans, by twice
#: the mean six. So it may say, and counts as much as, three choices.
_PAGE_SAYS: Final = 1.5
_PAGE_COUNTS: Final = 3
PAGE_TENTHS_MAX: Final = _PAGE_COUNTS * CHOICE_TENTHS_MAX


def _added(part: float, tenths: int) -> float:
    return 10 * math.log10(part + (1 - part) * 10 ** (tenths / 100))


_NONE, _SOME, _HALF = HONEST_PARTS
#: What a choice adds for each of the parts, by its evidence in tenths of a deciban and from the
#: least of it on.
_ADDED: Final = [
    (_added(_NONE, tenths), _added(_SOME, tenths), _added(_HALF, tenths))
    for tenths in range(-128, 128)
]


#: Where in an entry of a sample the pair's hash stands: its upper bits, by which it is in order.
_PAIR_AT: Final = 24
#: By size what packs a sample and its parts: an array takes four times as long to be made.
_PACK_SAMPLE: Final = [Struct(f"={n}Q").pack for n in range(SAMPLE_MAX + 1)]
_PACK_PAIRS: Final = [Struct(f"={n}I").pack for n in range(SAMPLE_MAX + 1)]
_PACK_OWNERS: Final = [Struct(f"={n}H").pack for n in range(SAMPLE_MAX + 1)]
_PACK_EVIDENCE: Final = [Struct(f"={n}b").pack for n in range(SAMPLE_MAX + 1)]
_encode: Final = msgspec.msgpack.Encoder().encode
_NOTHING: Final[list[LinkActivity]] = []


class Page(NamedTuple):
    """A page of pairs: the one it goes by, that whose hash is smallest, and what all of them say.

    Whoever is shown much the same goes by the same one, more often than not. Of its hash the lower
    half is what the sample keeps: by the upper one the smallest of many would crowd out whatever is
    chosen singly. One pair of a page may be odd, hence the evidence is theirs on average.
    """

    pair: int
    evidence: int
    owner: str | None
    shown: int


class Day:
    """What an account has chosen on one day."""

    __slots__ = (
        "address",
        "below",
        "chosen",
        "client",
        "day",
        "ends_s",
        "first_s",
        "hours",
        "is_changed",
        "last_pair",
        "links",
        "manner",
        "page",
        "pages",
        "passed_over",
        "sample",
        "shown",
        "steps",
        "steps_up",
        "told_at",
        "weights",
    )

    def __init__(self, day: int, first_s: float) -> None:
        self.day = day
        self.ends_s = (day + 1) * DAY_S
        self.first_s = first_s
        self.chosen = self.hours = self.steps = self.steps_up = 0
        self.told_at = TOLD_FROM
        self.last_pair = ""
        self.below = ALL
        #: Of these choices the pages that were turned, and the pairs on them.
        self.pages = self.shown = 0
        #: Pages that are no choices, as it has opened pairs lately.
        self.passed_over = 0
        #: The page that it was shown last, until it is turned or one of its pairs is opened.
        self.page: Page | None = None
        #: For each of `HONEST_PARTS`: what all choices say, decibans.
        self.weights = (0.0, 0.0, 0.0)
        #: The sample, in order: of each pair the hash, of its owner the mark (16 bits), and its
        #: evidence as a byte, from the least on.
        self.sample: list[int] = []
        self.links: list[str] = []
        self.manner = Manner()
        #: The latest.
        self.address = ""
        #: What the latest links were taken from. Not a part of the state: without it the same ones
        #: are only looked up once more.
        self.client: Client | None = None
        #: Whether it is other than its latest snapshot.
        self.is_changed = False

    def choose(self, pair_id: str, pair: Hash64, evidence: int, owner: str | None) -> None:
        """Weigh a choice (tenths of a deciban), and keep its pair (64-bit hash) in the sample."""
        # Who walks ids always goes one way.
        if len(pair_id) == len(self.last_pair):
            self.steps += 1
            self.steps_up += pair_id > self.last_pair
        self.last_pair = pair_id
        # Those bits by which the popularity doesn't tell pairs apart.
        self._add(pair >> 32, evidence, owner, CHOICE_TENTHS_MAX)

    def turn(self, page: Page | None) -> None:
        """Take note of the next page: the one before is a choice, that of the pair it goes by."""
        before, self.page = self.page, page
        if before is None:
            return
        if self.passed_over:
            self.passed_over -= 1
            return
        # Who polls a page chooses it once.
        at = bisect_left(self.sample, before.pair << _PAIR_AT)
        if at < len(self.sample) and self.sample[at] >> _PAIR_AT == before.pair:
            return
        self.pages += 1
        self.shown += before.shown
        self._add(before.pair, before.evidence, before.owner, PAGE_TENTHS_MAX)

    def open(self) -> None:
        """Take note that it has opened pairs, of the page that it was shown or others."""
        self.page = None
        passed_over = self.passed_over + _PAGES_AN_OPENING
        self.passed_over = min(passed_over, _PAGES_AFTER_OPENINGS_MAX)

    def _add(self, mark: int, evidence: int, owner: str | None, evidence_max: int) -> None:
        self.chosen += 1
        # Written out: this is done for every choice.
        none, some, half = self.weights
        added = _ADDED[(evidence if evidence < evidence_max else evidence_max) + 128]
        self.weights = none + added[0], some + added[1], half + added[2]
        if mark > self.below:
            return
        sample, key = self.sample, mark << _PAIR_AT
        # Written out: machine code in a third of the time.
        at, end = 0, len(sample)
        while at < end:
            middle = (at + end) // 2
            if sample[middle] < key:
                at = middle + 1
            else:
                end = middle
        if at < len(sample) and sample[at] >> _PAIR_AT == mark:
            return
        sample.insert(at, key | (owner_mark(owner) if owner else 0) << 8 | evidence + 128)
        if len(sample) > SAMPLE_MAX:
            self.below = (sample.pop() >> _PAIR_AT) - 1

    @property
    def weight(self) -> float:
        """What all choices say together, decibans."""
        return mean_of_odds(self.weights)

    def to_bytes(self) -> bytes:
        return _encode(
            DayWire(
                DAY_VERSION,
                self.day,
                self.chosen,
                self.told_at,
                self.first_s,
                self.hours,
                self.steps_up,
                self.steps,
                self.last_pair,
                self.below,
                list(self.weights),
                _packed(_PACK_SAMPLE, self.sample),
                b"",
                b"",
                self.links,
                self.address,
                self.manner.to_wire(),
                self.page,
                self.pages,
                self.shown,
                self.passed_over,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Day:
        wire = msgspec.msgpack.decode(data, type=DayWire)
        if wire.version > DAY_VERSION:
            raise StateVersionError(
                f"choices of version {wire.version}; this pairwatch knows up to {DAY_VERSION}"
            )
        day = cls(wire.day, wire.first_s)
        day.chosen, day.told_at, day.hours = wire.chosen, wire.told_at, wire.hours
        day.steps_up, day.steps, day.last_pair = wire.steps_up, wire.steps, wire.last_pair
        day.below, day.links = wire.below, wire.links
        none, some, half = wire.weights
        day.weights = none, some, half
        day.address, day.manner = wire.address, Manner.from_wire(wire.manner)
        day.page = None if wire.page is None else Page(*wire.page)
        day.pages, day.shown, day.passed_over = wire.pages, wire.shown, wire.passed_over
        if wire.version < 5:
            day.passed_over = _PAGES_AFTER_OPENINGS_MAX if day.chosen > day.pages else 0
        if wire.version >= 3:
            day.sample = array("Q", wire.sample).tolist()
        else:
            pairs, evidence = array("I", wire.sample), array("b", wire.evidence)
            for pair, tenths, owner in zip(pairs, evidence, array("H", wire.owners), strict=True):
                day.sample.append(pair << _PAIR_AT | owner << 8 | tenths + 128)
        return day


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
        tenths = self._population.popularity.tenths
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
            said = [popularity.tenths[look] for look in looks if look >= 0]
            evidence = min(round(_PAGE_SAYS * sum(said) / len(said)), PAGE_TENTHS_MAX)
            page = Page(pair & ALL, max(evidence, -128), request.owner_id, len(pairs))
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
            day.address = request.ip or ""
            day.links += [one for one in links_of(request.request) if one not in day.links]
            del day.links[_LINKS_MAX:]
        # Before it is known what is popular, nobody can be told from those who read that.
        said = day.chosen + (_PAGE_COUNTS - 1) * day.pages
        if said >= day.told_at and self._population.popularity.has_read:
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
        sample = day.sample
        pairs = _packed(_PACK_PAIRS, [one >> _PAIR_AT for one in sample])
        owners = _packed(_PACK_OWNERS, [one >> 8 & 0xFFFF for one in sample])
        evidence = _packed(_PACK_EVIDENCE, [(one & 0xFF) - 128 for one in sample])
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


def _packed(pack: list[Callable[..., bytes]], sample: list[int]) -> bytes:
    return pack[len(sample)](*sample)


def owner_mark(account_id: str) -> int:
    """Return 16 bits that stand for an owner, never 0."""
    return hash32(account_id) % 65_535 + 1


def mean_of_odds(weights: Sequence[float]) -> float:
    """Return the decibans of the mean of odds that are given in decibans.

    >>> round(mean_of_odds([30.0, 0.0]), 1)
    27.0
    """
    most = max(weights)
    mean = sum(10 ** ((weight - most) / 10) for weight in weights) / len(weights)
    return most + 10 * math.log10(mean)
