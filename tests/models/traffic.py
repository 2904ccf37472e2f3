"""Small seeded traffic, and a partition that keeps its detector's state as a store would."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import count

import msgspec
import numpy as np

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.observation import Observation
from models.profile import Profile
from models.request import Request

#: 2024-03-04T00:00:00Z, a Monday.
MIDNIGHT_S = 1_709_510_400.0
HOUR_S = 3_600.0
DAY_S = 86_400.0
CATALOGUE = 20_000


def request(account: str = "a", ts: float = MIDNIGHT_S, **told: object) -> Request:
    """Return a request whose id follows from what it is, unless it is told."""
    told.setdefault("action", "view")
    told.setdefault("request_id", f"{account}@{ts:.6f}")
    return Request(ts=ts, account_id=account, **told)  # type: ignore[arg-type]


def views(
    account: str, start_s: float, apart_s: float, pairs: Iterable[str], **told: object
) -> list[Request]:
    """Return one view after the other, evenly apart."""
    return [
        request(
            account, start_s + n * apart_s, pair_ids=[pair], request_id=f"{account}.{n}", **told
        )
        for n, pair in enumerate(pairs)
    ]


def traffic(seed: int, *, honest: int = 90, days: int = 4) -> list[Request]:
    """Return some days of people, two copiers and a flood, as a log with all its faults.

    People follow what is popular. `copier` and `patient` read the catalogue as it stands, and
    `flood` generates without end. Some requests come late, some twice.
    """
    rng = random.Random(seed)
    number = count()
    made: list[Request] = []

    def add(account: str, ts: float, action: str, pairs: list[str], **told: object) -> None:
        made.append(
            request(
                account,
                round(ts, 3),
                request_id=f"r{next(number):06d}",
                action=action,
                pair_ids=pairs,
                **told,
            )
        )

    def popular() -> str:
        return f"pair_{min(int(rng.paretovariate(0.6)), CATALOGUE)}"

    for day in range(days):
        for person in range(honest):
            ts = MIDNIGHT_S + day * DAY_S + rng.uniform(0, 20) * HOUR_S
            for _ in range(int(rng.lognormvariate(2.2, 0.8))):
                ts += rng.expovariate(1 / 60)
                kind = rng.random()
                account = f"person_{person}"
                if kind < 0.75:
                    add(account, ts, "view", [popular()])
                elif kind < 0.9:
                    add(account, ts, "list", [popular() for _ in range(20)])
                elif kind < 0.95:
                    add(account, ts, "generate", [f"own_{rng.random()}"])
                else:
                    add(account, ts, "view", [f"own_{ts}"], owner_id=account)
    last = MIDNIGHT_S + (days - 1) * DAY_S
    for n in range(900):
        add("copier", last + 9 * HOUR_S + 2.3 * n, "view", [f"pair_{rng.randrange(CATALOGUE)}"])
    for n in range(300):
        ts = last - DAY_S + 300 * n
        add("patient", ts, "download", [f"pair_{rng.randrange(CATALOGUE)}"])
    for n in range(1_500):
        status = 503 if n % 9 == 0 else 200
        add("flood", last + 11 * HOUR_S + 0.04 * n, "generate", [f"new_{n}"], status=status)
    return as_log(made, rng)


def as_log(made: list[Request], rng: random.Random) -> list[Request]:
    """Put requests in the order in which they arrive; some are late, some come twice."""
    arrivals = []
    for place, one in enumerate(made):
        delay_s = rng.uniform(0, 2 * HOUR_S) if rng.random() < 0.01 else rng.uniform(0, 3)
        arrivals.append((one.ts + delay_s, place, one))
        if rng.random() < 0.02:
            arrivals.append((one.ts + delay_s + rng.uniform(0, 60), place, one))
    return [one for _, _, one in sorted(arrivals, key=lambda arrival: arrival[:2])]


class Partition:
    """A detector over a store of plain dictionaries that it can be restarted from."""

    def __init__(self, config: DetectionConfig | None = None) -> None:
        self.config = config or DetectionConfig()
        self.profiles: dict[str, bytes] = {}
        self.choices: dict[str, bytes] = {}
        self.rows: dict[bytes, bytes] = {}
        self.population: bytes | None = None
        self.docket = self.exchange = b""
        self.steering: bytes | None = None
        self.offset = 0
        self.decisions: list[Decision] = []
        self.detector = self._start()

    def _start(self) -> Detector:
        stores = self.profiles.get, self.choices.get
        detector = Detector(self.config, "test", "requests", 0, *stores)
        if self.population is not None:
            detector.restore(
                self.population, self.rows.get, self.docket, self.exchange, self.steering
            )
        return detector

    def observe(self, requests: Sequence[Request]) -> Observation:
        """Judge what comes next in the log."""
        offsets = range(self.offset, self.offset + len(requests))
        seen = self.detector.observe(requests, offsets)
        self.offset += len(requests)
        self.decisions += seen.decisions
        return seen

    def checkpoint(self) -> None:
        """Make durable what has changed."""
        snapshot = self.detector.snapshot()
        self.profiles.update(snapshot.profiles)
        self.choices.update(snapshot.choices)
        for key, row in snapshot.rows.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.population, self.docket = snapshot.population, snapshot.docket
        self.exchange = snapshot.exchange
        self.steering = snapshot.steering or self.steering

    def restart(self) -> None:
        """Let go of everything in memory and begin again from the last checkpoint."""
        self.detector = self._start()

    def profile(self, account: str) -> Profile:
        """Return what the next checkpoint would say of an account."""
        self.checkpoint()
        return Profile.from_bytes(self.profiles[account], 0)

    def known(self) -> dict[str, object]:
        """Return all that later judgements depend on, without the books of how it is stored."""
        self.checkpoint()
        assert self.population is not None
        day, refit_at, tails, popularity, *rest = msgspec.msgpack.decode(self.population)
        numbers = popularity[:5] + popularity[8:]  # without the books of copies and changes
        fresh = self._start().population.popularity
        return {
            "profiles": {name: in_order(data) for name, data in self.profiles.items()},
            "population": (day, refit_at, tails, numbers, rest),
            "readers": slots(fresh),
        }


def in_order(profile: bytes) -> list[object]:
    """Decode a profile, with the four-byte entries of its sketches sorted.

    Sketches list small sets in an order of their own, which a restart changes and nothing reads.
    """
    fields: list[object] = msgspec.msgpack.decode(profile)
    return [
        sorted(field[at : at + 4] for at in range(0, len(field), 4))
        if isinstance(field, bytes)
        else field
        for field in fields
    ]


def slots(popularity: object) -> list[tuple[int, int, int]]:
    """Return the readers and the last reader of every slot of a popularity."""
    readers, last = popularity._readers, popularity._last  # type: ignore[attr-defined]
    known = np.frombuffer(bytes(last), np.uint8) | np.frombuffer(bytes(readers), np.uint8)
    used = np.flatnonzero(known)
    return [(slot, readers[slot], last[slot]) for slot in used.tolist()]
