"""Where an event is judged: composes profiles, population, scenarios and policy."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from models.calibration import rung_of
from models.config import DetectionConfig
from models.decision import (
    SCHEMA_VERSION,
    Decision,
    DetectorIdentity,
    Evidence,
    Reason,
    Source,
    rfc3339,
)
from models.hashing import hash64
from models.policy import Finding, Order, Standing, decide
from models.population import Population
from models.profile import Profile, next_height
from models.request import Request
from models.scenarios import Scenario
from models.signals import DAY_S, SCALES_S, Signal

#: An account may always do this many times its own habit …
_HABIT_TIMES = 5.0
#: … up to this many times the level for everybody: a habit grown on purpose buys no more.
_LEEWAY_MAX = 4.0
#: Days after which an account has a habit.
_HABIT_DAYS = 7
#: A throttled account gets what nineteen in twenty accounts make do with in a minute.
_THROTTLE_SHARE = 0.05


class Observation(msgspec.Struct):
    """What came of a batch: decisions in the order of their causes, and counts by outcome."""

    decisions: list[Decision] = []
    judged: int = 0
    duplicate: int = 0
    late: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that has changed since the last one, encoded."""

    profiles: dict[str, bytes]
    population: bytes


class _Exceedance(NamedTuple):
    scenario: Scenario
    signal: Signal
    observed: float
    expected: float
    probability: float
    ban: bool


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
        at = {(s.measure, s.scale_s): i for i, (_, s) in enumerate(self.population.signals)}
        #: For each time scale the population's index of the two signals counted in it.
        self._requests_at = [at.get(("requests", scale_s)) for scale_s in SCALES_S]
        self._new_pairs_at = [at.get(("new_pairs", scale_s)) for scale_s in SCALES_S]

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
            self._judge(profile, request, offset, int(novelty == "new"), seen.decisions)
        return seen

    def _profile_of(self, request: Request) -> Profile:
        account_id = request.account_id
        profile = self._profiles.get(account_id)
        if profile is None:
            data = self._load(account_id)
            profile = Profile(request.ts) if data is None else Profile.from_bytes(data)
            self._profiles[account_id] = profile
        self._changed[account_id] = profile
        return profile

    def _judge(
        self,
        profile: Profile,
        request: Request,
        offset: int,
        counted: int,
        decisions: list[Decision],
    ) -> None:
        ts = request.ts
        pairs = _foreign_pairs(request)
        if profile.begins_day(ts):
            profile.close_day(learn=profile.standing.expires_s < profile.starts_s[-1])
            self.population.begin_account_day(int(ts // DAY_S))
        new_pairs = 0.0
        if pairs:
            self.population.see_pairs(pairs)
            new_pairs = profile.see_pairs(pairs)
        profile.count(ts, counted, new_pairs)
        suspicious = False
        for i in range(len(SCALES_S)):
            if profile.requests[i] >= profile.next_requests[i]:
                profile.next_requests[i] = next_height(profile.requests[i])
                suspicious |= self._climb(profile, self._requests_at[i], profile.requests[i], ts)
            if profile.new_pairs[i] >= profile.next_new_pairs[i]:
                profile.next_new_pairs[i] = next_height(profile.new_pairs[i])
                suspicious |= self._climb(profile, self._new_pairs_at[i], profile.new_pairs[i], ts)
        if suspicious:
            profile.add_sample(request.request_id)
            decision = self._decide(profile, request, offset)
            if decision is not None:
                decisions.append(decision)

    def _climb(self, profile: Profile, at: int | None, count: float, now_s: float) -> bool:
        """Say whether a signal that has reached a new rung is beyond its level; learn if not."""
        if at is None:
            return False
        if count >= self._level(profile, at):
            return True
        if not profile.standing.in_force(now_s):
            code = self.population.signals[at][1].code
            below, rung = profile.reached.get(code, -1), rung_of(count)
            if rung > below:
                self.population.tails[at].reach(below, rung)
                profile.reached[code] = rung
        return False

    def _level(self, profile: Profile, at: int) -> float:
        """Return the count from which a signal asks for a throttle, for this account."""
        signal = self.population.signals[at][1]
        level = self.population.levels[at][0]
        habit = profile.habit_requests if signal.measure == "requests" else profile.habit_new_pairs
        if signal.scale_s == DAY_S and habit.days >= _HABIT_DAYS:
            return max(level, min(_HABIT_TIMES * habit.usual, _LEEWAY_MAX * level))
        return level

    def _exceedances(self, profile: Profile) -> list[_Exceedance]:
        """Return the signals beyond their level, the least probable first."""
        found = []
        for at, (scenario, signal) in enumerate(self.population.signals):
            counts = profile.requests if signal.measure == "requests" else profile.new_pairs
            observed = counts[SCALES_S.index(signal.scale_s)]
            if observed >= self._level(profile, at):
                tail = self.population.tails[at]
                found.append(
                    _Exceedance(
                        scenario,
                        signal,
                        observed,
                        tail.level(0.5),
                        tail.probability(observed),
                        observed >= self.population.levels[at][1],
                    )
                )
        return sorted(found, key=lambda exceedance: exceedance.probability)

    def _decide(self, profile: Profile, request: Request, offset: int) -> Decision | None:
        exceedances = self._exceedances(profile)
        finding = Finding(
            throttle=True,
            ban=any(exceedance.ban for exceedance in exceedances),
            kinds=len({exceedance.signal.measure for exceedance in exceedances}),
            warm=self.population.warm,
        )
        order = decide(profile.standing, finding, request.ts)
        if order is None:
            return None
        profile.standing = Standing(
            revision=profile.standing.revision + 1,
            action=order.action,
            issued_s=request.ts,
            expires_s=order.expires_s,
        )
        return self._write(profile, request, offset, order, exceedances)

    def _write(
        self,
        profile: Profile,
        request: Request,
        offset: int,
        order: Order,
        exceedances: list[_Exceedance],
    ) -> Decision:
        scenario = exceedances[0].scenario.name
        mode = self._config.scenarios.get(scenario, self._config.mode)
        revision = profile.standing.revision
        limit = max(1.0, round(self._throttle_limit(), 1)) if order.action == "throttle" else None
        pairs = profile.pairs_today
        cause = f"account:{request.account_id}|{revision}|{order.action}|{request.request_id}"
        return Decision(
            decision_id=hashlib.blake2b(cause.encode(), digest_size=16).hexdigest(),
            schema_version=SCHEMA_VERSION,
            scope="account",
            value=request.account_id,
            revision=revision,
            action=order.action,
            limit_per_minute=limit,
            issued_at=rfc3339(request.ts),
            expires_at=rfc3339(order.expires_s),
            simulated=mode == "shadow",
            scenario=scenario,
            score=round(1 - exceedances[0].probability, 9),
            reasons=_reasons(exceedances),
            evidence=Evidence(
                window_start=rfc3339(profile.starts_s[-1]),
                window_end=rfc3339(request.ts),
                requests=profile.requests[-1],
                distinct_pairs=pairs,
                catalogue_share=round(min(1.0, pairs / self.population.catalogue_size), 6),
                sample_request_ids=tuple(profile.samples),
                linked_accounts=(),
                source=Source(self._topic, self._partition, offset),
            ),
            detector=self._identity,
        )

    def _throttle_limit(self) -> float:
        """Return requests per minute that leave ordinary use alone."""
        at = self._requests_at[0]
        return self.population.tails[at].level(_THROTTLE_SHARE) if at is not None else 10.0

    def snapshot(self) -> Snapshot:
        """Encode what has changed since the last snapshot."""
        changed, self._changed = self._changed, {}
        for account_id, profile in changed.items():
            # Moved to the end, so that those at the front have been idle longest.
            del self._profiles[account_id]
            self._profiles[account_id] = profile
        return Snapshot(
            profiles={account_id: profile.to_bytes() for account_id, profile in changed.items()},
            population=self.population.to_bytes(),
        )

    def trim(self, live_max: int) -> list[str]:
        """Let go of the longest idle profiles above a number, and return whose they were.

        Call it once snapshots are durable: the profiles are loaded again when needed.
        """
        idle = (account_id for account_id in self._profiles if account_id not in self._changed)
        gone = list(itertools.islice(idle, max(len(self._profiles) - live_max, 0)))
        for account_id in gone:
            del self._profiles[account_id]
        return gone


def _foreign_pairs(request: Request) -> list[int]:
    """Return the hashes of other people's pairs that a request was given."""
    if not request.pair_ids or request.status >= 400 or request.action == "generate":
        return []
    if request.owner_id == request.account_id:
        return []
    return [hash64(pair_id) for pair_id in request.pair_ids]


def _reasons(exceedances: list[_Exceedance]) -> tuple[Reason, ...]:
    """Weigh each signal by how improbable it is; the weights sum to one."""
    surprises = [-math.log(max(exceedance.probability, 1e-300)) for exceedance in exceedances]
    return tuple(
        Reason(
            signal=exceedance.signal.name,
            observed=round(exceedance.observed, 1),
            expected=round(exceedance.expected, 1),
            unit=exceedance.signal.unit,
            weight=round(surprise / sum(surprises), 3),
        )
        for exceedance, surprise in zip(exceedances, surprises, strict=True)
    )
