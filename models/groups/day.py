"""What an account has chosen on one day: a sample of it, and what all of it says."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from models.facts import Client
from models.groups.day_state import DAY_VERSION, DayWire
from models.groups.manner import Manner
from models.hashing import Hash64, hash32
from models.link_activity import SAMPLE_MAX
from models.profile_state import StateVersionError
from models.signals import DAY_S

#: First told of at this many choices, and again as they grow by half: a busy day is a dozen
#: records, and a copier is told of eight choices after its day began.
TOLD_FROM: Final = 8
#: Who looks closer at some of what pages show chooses among them, and not the page: so many pages
#: after a pair was opened are no choices, thirty after three or more.
_PAGES_AN_OPENING: Final = 10
_PAGES_AFTER_OPENINGS_MAX: Final = 30
#: Longer ids of pairs are not remembered: they are hashes, or made up, and nobody walks those.
_PAIR_CHARS_MAX: Final = 256
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
PAGE_SAYS: Final = 1.5
PAGE_COUNTS: Final = 3
PAGE_TENTHS_MAX: Final = PAGE_COUNTS * CHOICE_TENTHS_MAX


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
        self.last_pair = pair_id if len(pair_id) <= _PAIR_CHARS_MAX else ""
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

    def packed_sample(self) -> tuple[bytes, bytes, bytes]:
        """Return the sample's hashes, evidence and owners as `LinkActivity` has them."""
        sample = self.sample
        return (
            _packed(_PACK_PAIRS, [one >> _PAIR_AT for one in sample]),
            _packed(_PACK_EVIDENCE, [(one & 0xFF) - 128 for one in sample]),
            _packed(_PACK_OWNERS, [one >> 8 & 0xFFFF for one in sample]),
        )

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
        day.sample = array("Q", wire.sample).tolist()
        return day


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
