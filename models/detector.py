"""Where an event is judged: composes profiles, population, scenarios and policy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import msgspec

from models.config import DetectionConfig
from models.decision import Decision, DetectorIdentity, Source
from models.hashing import hash32
from models.judge import Judge
from models.policy import decide
from models.popularity import GetRow, Rows
from models.population import Population
from models.profile import Profile
from models.request import Request
from models.verdict import write


class Observation(msgspec.Struct):
    """What came of a batch: decisions in the order of their causes, and counts by outcome."""

    decisions: list[Decision] = []
    judged: int = 0
    duplicate: int = 0
    late: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that has changed since the last one, encoded.

    `rows` belong to the population: they are to be written (or removed, where `None`) together
    with the profiles and before the bytes of `population`, which refer to them.
    """

    profiles: dict[str, bytes]
    rows: Rows
    population: bytes


class Detector:
    """Judges the requests of one partition's accounts, in the order of its log.

    Decisions are a function of the requests, the configuration and nothing else: feeding the
    same log again, in batches of any size, from any snapshot, gives the same ones.

    Parameters
    ----------
    config
        The operator's part.
    version
        Names this code in the decisions.
    topic, partition
        Where the requests come from; goes into the evidence.
    load
        Returns an account's encoded profile, `None` if there is none. Called when an account is
        not among the live profiles.
    """

    def __init__(
        self,
        config: DetectionConfig,
        version: str,
        topic: str,
        partition: int,
        load: Callable[[str], bytes | None],
    ) -> None:
        self._config = config
        self._identity = DetectorIdentity(version=version, config_hash=config.config_hash())
        self._topic = topic
        self._partition = partition
        self._load = load
        self.population = Population(config)
        #: Live profiles, those least recently part of a snapshot first.
        self._profiles: dict[str, Profile] = {}
        self._changed: dict[str, Profile] = {}
        self._judge = Judge(self.population)

    @property
    def live_accounts(self) -> int:
        """Profiles in memory."""
        return len(self._profiles)

    def observe(self, requests: Sequence[Request], offsets: Sequence[int]) -> Observation:
        """Judge requests that stand at these offsets, and learn from them.

        Parameters
        ----------
        requests
            In the order of the log; of any accounts of this partition.
        offsets
            Where each one stands.
        """
        seen = Observation()
        for request, offset in zip(requests, offsets, strict=True):
            profile = self._profile_of(request)
            novelty = profile.recent.admit(request.request_id, request.ts)
            if novelty == "duplicate":
                seen.duplicate += 1
                continue
            if novelty == "late":
                seen.late += 1
            else:
                seen.judged += 1
            # A late request may be a repeat: it counts for its pairs only, of which a repeat
            # brings none that are new.
            if self._judge.judge(profile, request, counted=novelty == "new"):
                profile.add_sample(request.request_id)
                decision = self._decide(profile, request, offset)
                if decision is not None:
                    seen.decisions.append(decision)
        return seen

    def _profile_of(self, request: Request) -> Profile:
        account_id = request.account_id
        profile = self._profiles.get(account_id)
        if profile is None:
            data, mark = self._load(account_id), hash32(account_id)
            profile = Profile.from_bytes(data, mark) if data else Profile(request.ts, mark)
            self._profiles[account_id] = profile
        self._changed[account_id] = profile
        return profile

    def _decide(self, profile: Profile, request: Request, offset: int) -> Decision | None:
        exceedances = self._judge.exceedances(profile)
        order = decide(profile.standing, self._judge.find(exceedances), request.ts)
        if order is None:
            return None
        self._judge.take_back(profile)
        profile.standing = profile.standing.follow(order, request.ts)
        return write(
            request,
            profile,
            self.population,
            order,
            exceedances,
            Source(self._topic, self._partition, offset),
            self._identity,
            self._config,
        )

    def snapshot(self) -> Snapshot:
        """Encode what has changed since the last snapshot."""
        changed, self._changed = self._changed, {}
        for account_id, profile in changed.items():
            # Moved to the end, so that those at the front have been idle longest.
            del self._profiles[account_id]
            self._profiles[account_id] = profile
        population, rows = self.population.snapshot()
        return Snapshot(
            profiles={account_id: profile.to_bytes() for account_id, profile in changed.items()},
            rows=rows,
            population=population,
        )

    def restore(self, population: bytes, get: GetRow) -> None:
        """Take up the population of a snapshot, reading its rows with `get`."""
        self.population.restore(population, get)

    def trim(self, live_max: int) -> list[str]:
        """Let go of the longest idle profiles above a number, and return whose they were.

        Call it once snapshots are durable: the profiles are loaded again when needed.
        """
        idle = (account_id for account_id in self._profiles if account_id not in self._changed)
        gone = list(itertools.islice(idle, max(len(self._profiles) - live_max, 0)))
        for account_id in gone:
            del self._profiles[account_id]
        return gone
