"""Who the customers are: what they like, where they sit, what ties them together.

An account's facts hang on its key alone. Honest accounts have the keys 0 … N−1; dormant ones, who
own the rest of the catalogue, follow in a range of their own. An attacker is a dormant account
that wakes, so that its coming changes nothing for anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streams.simulate.catalogue import TOPICS
from streams.simulate.draws import Draws, Floats, Ints
from streams.simulate.people import KINDS, Kind

#: Accounts that own pairs and are not seen, unless an attack wakes them.
DORMANT = 6_000
_DORMANT_KEYS_FROM = 1 << 25
FINGERPRINTS = 48
#: The first at home, the second mobile, the third in somebody else's hands.
DEVICES = 3
NETWORKS = 60
#: Networks from here on are data centres.
DATACENTRES_FROM = 50
#: Addresses of a network: 60 of them fit into 10.0.0.0/8, which names no real customer.
_ADDRESSES = 1 << 18
_ASN_FROM = 64_512
_ZONES_H = np.array([-8, -7, -6, -5, -3, 0, 1, 2, 3, 5.5, 8, 9])
_ZONE_WEIGHTS = np.cumsum([9, 3, 6, 13, 6, 9, 18, 10, 5, 7, 8, 6])
_PAGE_SIZES = np.array([20, 24, 30, 40, 48, 60])
_NAT_ADDRESSES = 4
#: A shared value looks like anybody's own.
_LINK_TEXTS = {"org": "org-{}.example", "payment": "fp_{}", "device": "d_{}"}
_BROWSERS = ("Chrome/122.0.0.0 Safari/537.36", "Firefox/123.0", "Version/17.3 Safari/605.1.15")
_SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "iPhone; CPU iPhone OS 17_3 like Mac OS X",
    "Linux; Android 14; Pixel 8",
)
#: Fingerprints from here on are programs, not browsers.
PROGRAMS_FROM = 40
_PROGRAMS = ("python-requests/2.31.0", "Go-http-client/2.0", "okhttp/4.12.0", "axios/1.6.7")


@dataclass
class Circle:
    """Accounts that belong together, by slot; `number` names them in link values."""

    number: int
    slots: list[int]


class Accounts:
    """All accounts as columns, by slot: first the honest, then the dormant.

    Parameters
    ----------
    draws
        Where randomness comes from.
    count
        Honest accounts, at least 100.
    shares
        Share of each kind where it differs from the table's.
    """

    def __init__(self, draws: Draws, count: int, shares: dict[str, float]) -> None:
        self._draws = draws
        self.honest_count = count
        self.total = count + DORMANT
        self.key = np.concatenate(
            [np.arange(count), _DORMANT_KEYS_FROM + np.arange(DORMANT)]
        ).astype(np.int64)
        key = self.key
        self.ids = [f"acct_{number:08x}" for number in _scramble(key).tolist()]
        self.kind_of = np.full(self.total, -1, dtype=np.int64)
        self.circles: dict[str, list[Circle]] = {}
        self.behind_nat = np.zeros(self.total, dtype=np.bool_)
        #: Key that an account's address and network hang on: its own or its circle's.
        self.place = key.copy()
        self.links: list[dict[str, str]] = [
            {"payment": _LINK_TEXTS["payment"].format(f"{number:08x}")}
            for number in _scramble(key ^ 0x5A5A).tolist()
        ]
        self.zone_s = _ZONES_H[draws.pick(_ZONE_WEIGHTS.astype(np.float64), "zone", key)] * 3600.0
        self.page_size = _PAGE_SIZES[draws.bits("page-size", key) % np.uint64(len(_PAGE_SIZES))]
        #: Share of a feed that a personal feed keeps; the rest is skipped.
        self.keeps = draws.between(0.25, 1.0, "keeps", key)
        topic_weights = np.cumsum((np.arange(TOPICS) + 3.0) ** -0.7)
        self.topics = np.stack(
            [draws.pick(topic_weights, "taste", place, key) for place in range(4)], axis=1
        )
        self.owned = draws.lognormal(6.0, 1.6, "owned", key)
        self.activity = np.ones(self.total)
        self.chance = np.zeros(self.total)
        self.period_s = np.zeros(self.total)
        #: An account's ordinary life ends here (Unix seconds).
        self.until_s = np.full(self.total, np.inf)
        #: Teams work on each other's pairs: a run in `team_slots` for each account.
        self.team_slots: Ints = np.arange(self.total, dtype=np.int64)
        self.team_start = np.arange(self.total, dtype=np.int64)
        self.team_size = np.ones(self.total, dtype=np.int64)
        self._set_networks()
        self._hand_out_kinds(count, shares)

    def _set_networks(self) -> None:
        draws, key = self._draws, self.key
        isp_weights = np.cumsum((np.arange(DATACENTRES_FROM) + 2.0) ** -0.9)
        self.network = np.stack(
            [draws.pick(isp_weights, "network", device, key) for device in range(DEVICES)], axis=1
        )
        browser_weights = np.cumsum((np.arange(PROGRAMS_FROM) + 2.0) ** -1.0)
        self.fingerprint = np.stack(
            [draws.pick(browser_weights, "browser", device, key) for device in range(DEVICES)],
            axis=1,
        )

    def _hand_out_kinds(self, count: int, shares: dict[str, float]) -> None:
        weights = np.array([shares.get(name, kind.share) for name, kind in KINDS.items()])
        bounds = np.round(np.cumsum(weights) / weights.sum() * count).astype(int)
        start = 0
        for name, end in zip(KINDS, bounds.tolist(), strict=True):
            slots = np.arange(start, end, dtype=np.int64)
            self.set_kind(slots, name, own_things=True)
            together = KINDS[name].together
            if together is not None and len(slots):
                self._bring_together(name, slots)
            start = end

    def set_kind(self, slots: Ints, name: str, *, own_things: bool = False) -> None:
        """Give accounts the habits of a kind; what they own is settled for the dormant."""
        kind, draws, key = KINDS[name], self._draws, self.key[slots]
        self.kind_of[slots] = list(KINDS).index(name)
        self.activity[slots] = draws.lognormal(1.0, kind.spread, "activity", key)
        self.chance[slots] = draws.between(*kind.active, "chance", key)
        if own_things:
            self.owned[slots] = draws.lognormal(*kind.owned, "owned", key)
        if kind.period_s is not None:
            low, high = np.log(kind.period_s)
            self.period_s[slots] = np.exp(draws.between(low, high, "period", key))
        self.behind_nat[slots] = kind.network == "campus"
        if kind.network == "datacentre":
            spread = draws.bits("datacentre", key) % np.uint64(NETWORKS - DATACENTRES_FROM)
            self.network[slots] = DATACENTRES_FROM + spread.astype(np.int64)[:, None]
            program = draws.bits("program", key) % np.uint64(FINGERPRINTS - PROGRAMS_FROM)
            self.fingerprint[slots] = PROGRAMS_FROM + program.astype(np.int64)[:, None]

    def _bring_together(self, name: str, slots: Ints) -> None:
        together = KINDS[name].together
        assert together is not None  # noqa: S101 - the caller asked for it
        low, high = together.sizes
        found: list[Circle] = []
        at = 0
        while at < len(slots):
            first = int(slots[at])
            size = int(self._draws.between(low, high + 1, "circle", first)[0])
            found.append(Circle(first, slots[at : at + size].tolist()))
            at += size
        for circle in found:
            self.tie(circle, together.links, KINDS[name], team=together.team)
        self.circles[name] = found

    def tie(
        self, circle: Circle, links: tuple[str, ...], kind: Kind, *, team: bool = False
    ) -> None:
        """Let accounts share links, and the network and address where the kind does."""
        for slot in circle.slots:
            self.links[slot].update({link: self.link_value(link, circle.number) for link in links})
        slots = np.array(circle.slots, dtype=np.int64)
        if kind.network in ("shared", "campus"):
            self.place[slots] = self.key[circle.slots[0]]
            self.network[slots, 0] = self.network[circle.slots[0], 0]
            self.zone_s[slots] = self.zone_s[circle.slots[0]]
        if team:
            self.team_start[slots] = len(self.team_slots)
            self.team_size[slots] = len(slots)
            self.team_slots = np.concatenate([self.team_slots, slots])

    def link_value(self, link: str, number: int) -> str:
        """Make the value of a link that a circle shares."""
        text = f"{int(self._draws.bits('link/' + link, number)[0]) >> 32:08x}"
        return _LINK_TEXTS[link].format(text)

    def links_of_devices(self) -> list[list[dict[str, str]]]:
        """Return the links of each account on each of its devices; a shared device wins."""
        names = [
            [
                _LINK_TEXTS["device"].format(f"{number:08x}")
                for number in (bits >> np.uint64(32)).tolist()
            ]
            for bits in (self._draws.bits("device-id", n, self.key) for n in range(DEVICES))
        ]
        return [
            [{"device": names[n][slot], **links} for n in range(DEVICES)]
            for slot, links in enumerate(self.links)
        ]

    def addresses(self, slots: Ints, device: Ints, day: int, session: Ints) -> Ints:
        """Give each session its address, as a number.

        At home an address lasts a fortnight, in a mobile network a day; a campus goes out
        through a handful.
        """
        draws, place = self._draws, self.place[slots]
        epoch = np.where(
            self.behind_nat[slots],
            (draws.bits("nat", session, self.key[slots]) % np.uint64(_NAT_ADDRESSES)).astype(
                np.int64
            ),
            day // 14,
        )
        epoch = np.where(device == 1, 1_000 + day, epoch)
        place = np.where(device == 1, self.key[slots], place)
        host = draws.bits("address", place, epoch) % np.uint64(_ADDRESSES)
        return self.network[slots, device] * _ADDRESSES + host.astype(np.int64)


def _scramble(keys: Ints) -> Ints:
    """Turn keys below 2³² into 32-bit numbers one to one, so that an id tells nothing."""
    low = keys.astype(np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(3):
        low = (low * np.uint64(0x9E3779B1) + np.uint64(0x7F4A7C15)) & mask
        low = low ^ (low >> np.uint64(15))
    return low.astype(np.int64)


#: Cached: most addresses come again and again. 64 Ki of them are 8 MB.
@lru_cache(maxsize=1 << 16)
def address_text(number: int) -> str:
    """Write an address number as an IPv4 address in 10.0.0.0/8."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def asn_of(addresses: Ints) -> Ints:
    """Return the (private) number of the network that addresses belong to."""
    return np.asarray(_ASN_FROM + addresses // _ADDRESSES, dtype=np.int64)


def random_addresses(points: Floats) -> Ints:
    """Return addresses anywhere in the networks of homes, for points in (0, 1)."""
    return np.asarray(points * DATACENTRES_FROM * _ADDRESSES, dtype=np.int64)


def fingerprint_texts(draws: Draws) -> list[tuple[str, str]]:
    """Return each fingerprint as user agent and JA4."""
    texts = []
    for number in range(FINGERPRINTS):
        if number < PROGRAMS_FROM:
            system = _SYSTEMS[number % len(_SYSTEMS)]
            agent = f"Mozilla/5.0 ({system}) {_BROWSERS[number // len(_SYSTEMS) % 3]}"
        else:
            agent = _PROGRAMS[number % len(_PROGRAMS)]
        first, second = (f"{int(draws.bits(f'ja4/{n}', number)[0]) >> 16:012x}" for n in "ab")
        texts.append((agent, f"t13d{10 + number % 8}{8 + number % 9:02d}h2_{first}_{second}"))
    return texts
