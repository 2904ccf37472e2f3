"""Where an event is judged: composes profiles, population, scenarios and policy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from models.config import DetectionConfig
from models.decision import Decision, DetectorIdentity, Source
from models.docket import Docket
from models.exchange import Digest, Exchange
from models.facts import Facts
from models.feedback import take_back
from models.groups import Activities
from models.hashing import hash32
from models.hearing import Hearing
from models.judge import Judge, foreign_pairs
from models.links import address_of, ties_of
from models.notices import Notice
from models.observation import Observation, Snapshot
from models.policy import IGNORED_REFUSALS
from models.population import Population
from models.population_state import DigestError, GetRow
from models.profile import Profile
from models.request import Request
from models.signals import DAY_S, HOUR_S, SCALES_S
from models.steering import NO_EVENT
from models.verdict import Cause, own_grounds

_HOUR_AT: Final = SCALES_S.index(HOUR_S)
#: How a gateway answers whom it throttles or bans.
_REFUSED: Final = (429, 403)
#: The actions by which an account chooses the pairs that it is given.
CHOOSING: Final = ("view", "download")
_NO_LOOKS: Final[list[int]] = []
_NO_PAIRS: Final[list[int]] = []


class Detector:
    """Judges the requests of one partition's accounts, in the order of its log.

    Decisions are a function of the requests, of what others say and where, and the configuration:
    feeding the same again, in batches of any size, from any snapshot, gives the same ones.

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
    load_choices
        The same for what accounts have chosen today, which has rows of its own.
    partitions
        How many there are: they learn from each other.
    """

    def __init__(
        self,
        config: DetectionConfig,
        version: str,
        topic: str,
        partition: int,
        load: Callable[[str], bytes | None],
        load_choices: Callable[[str], bytes | None] = lambda _: None,
        partitions: int = 1,
    ) -> None:
        self._identity = DetectorIdentity(version=version, config_hash=config.config_hash())
        self._topic = topic
        self._partition = partition
        self._load = load
        self.population = Population(config)
        #: Live profiles, those least recently part of a snapshot first.
        self._profiles: dict[str, Profile] = {}
        self._changed: dict[str, Profile] = {}
        self._judge = Judge(self.population)
        self._activities = Activities(self.population, load_choices)
        self.exchange = Exchange(partition, partitions)
        #: Which request of the batch is being judged.
        self._at = 0
        self.docket = Docket(config, self._identity, self.population)
        self._hearing = Hearing(self.docket, self.population, self._known, self._activities.ties)

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
        if len(requests) != len(offsets):
            raise ValueError(f"{len(requests)} requests and {len(offsets)} offsets")
        seen = Observation()
        try:
            self._observe(requests, offsets, seen)
        except Exception as error:
            error.add_note(f"while judging the request at offset {offsets[self._at]}")
            raise
        return seen

    def _observe(
        self, requests: Sequence[Request], offsets: Sequence[int], seen: Observation
    ) -> None:
        breaker, steering = self.docket.breaker, self.docket.steering
        # What operators said changes between calls only.
        has_events, allows_some = steering.has_events, steering.allows_some
        approved, full_per_minute = bool(steering.approved), steering.full_per_minute
        profiles, changed = self._profiles, self._changed
        popularity, next_s = self.population.popularity, self.exchange.next_s
        judge, event, taken, late = self._judge, NO_EVENT, 0, 0
        latest_s, server_errors = 0.0, 0
        for n, each in enumerate(requests):
            request = Facts(each)
            self._at = n
            ts, account_id = request.ts, request.account_id
            if ts >= next_s:
                if not self._begin_epoch(ts, seen):
                    break
                next_s = self.exchange.next_s
            taken = n + 1
            if ts > latest_s:
                latest_s = ts
            if request.status >= 500:
                server_errors += 1
            profile = profiles.get(account_id)
            if profile is None:
                profile = self._profile_of(each)
            elif not profile.is_changed:
                profile.is_changed = True
                changed[account_id] = profile
            novelty = profile.recent.admit(request.request_id, ts)
            if novelty == "duplicate":
                seen.duplicate += 1
                continue
            action, status = request.action, request.status
            if novelty == "late":
                late += 1
            else:
                if profile.mark != breaker.mark:
                    breaker.see(profile.mark, ts)
                if ts >= profile.windows[_HOUR_AT].start_s + HOUR_S:
                    breaker.begin_account_hour(ts)
                    seen.account_days += profile.begins_day(ts)
                if profile.is_excess(ts) and status not in _REFUSED:
                    seen.excess += 1
                    judge.count(profile, request, chosen=action in CHOOSING)
                    continue
            pairs, looks = _NO_PAIRS, _NO_LOOKS
            if full_per_minute and novelty == "new" and profile.has_made(full_per_minute, ts):
                # How much it does is judged on, of what it does that which came before.
                seen.shed += 1
                judge.note(profile, request, chosen=action in CHOOSING)
            elif (pairs := foreign_pairs(request)) and novelty == "new":
                # Before it is judged: what is learned from it must not speak about it.
                if action in CHOOSING:
                    looks = popularity.look(pairs, profile.mark)
                    activities = self._activities.observe(request, profile, pairs, looks)
                else:
                    activities = self._activities.turn(request, profile, pairs)
                if activities:
                    if self._is_allowed(each):
                        self._activities.excuse(account_id, profile)
                    else:
                        seen.activities += activities
            else:
                judge.own(profile, request)
            if has_events:
                event = steering.event(ts)
            judge.tolerance = event[1]
            # A late request may be a repeat: it counts for its pairs only, of which a repeat
            # brings none that are new.
            decision, before = None, profile.standing
            if judge.judge(profile, request, pairs, looks, counted=novelty == "new"):
                profile.add_sample(request.request_id)
                decision = self._decide(profile, each, offsets[n], event)
            elif status in _REFUSED and self._is_ignoring(profile, each):
                decision = self._decide(profile, each, offsets[n], event, ignored=True)
            if decision is None and approved:
                decision = self.docket.cover(self._cause(each, offsets[n]), profile, each)
            if decision is None and allows_some:
                decision = self.docket.spare(self._cause(each, offsets[n]), profile, each)
            if decision is None and ts < profile.held_until_s and not request.is_from(profile.met):
                profile.met = request.client
                self.docket.meet(profile, each)
            if decision is not None:
                seen.decisions.append(decision)
                if decision.action != "release" and (
                    before.action != decision.action or before.issued_s // DAY_S < ts // DAY_S
                ):
                    seen.hits[decision.action] = seen.hits.get(decision.action, 0) + 1
        seen.taken, seen.late = taken, late
        seen.latest_s, seen.server_errors = latest_s, server_errors
        seen.judged = seen.taken - seen.duplicate - late

    def _begin_epoch(self, ts: float, seen: Observation) -> bool:
        """Tell the others what was learned, and take in what they told; `False` has to wait."""
        exchange = self.exchange
        seen.digests += self.tell(ts)
        seen.lacking = exchange.lacking(ts)
        if seen.lacking:
            return False
        for learned in exchange.begin_epoch(ts):
            try:
                self.population.merge(learned)
            except DigestError:
                seen.unreadable_digests += 1
        return True

    def tell(self, ts: float) -> list[Digest]:
        """Return what the others are to know before a request at `ts` is judged, once."""
        if self.exchange.is_told(ts):
            return []
        return [self.exchange.tell(ts, self.population.emit_digest(ts))]

    def _profile_of(self, request: Request) -> Profile:
        profile = self._known(request.account_id)
        if profile is None:
            profile = Profile(request.ts, hash32(request.account_id))
            self._profiles[request.account_id] = profile
            self._change(request.account_id, profile)
        return profile

    def _change(self, account_id: str, profile: Profile) -> None:
        """Take note that an account's profile is to be part of the next snapshot."""
        profile.is_changed = True
        self._changed[account_id] = profile

    def _known(self, account_id: str) -> Profile | None:
        """Return an account's live profile, as one that is about to change."""
        profile = self._profiles.get(account_id)
        if profile is None:
            data = self._load(account_id)
            if data is None:
                return None
            profile = self._profiles[account_id] = Profile.from_bytes(data, hash32(account_id))
        self._change(account_id, profile)
        return profile

    def _cause(self, request: Request, offset: int) -> Cause:
        source = Source(self._topic, self._partition, offset)
        return Cause(request.request_id, request.account_id, request.ts, source)

    @staticmethod
    def _is_ignoring(profile: Profile, request: Request) -> bool:
        """Whether an account goes on and on against what is in force."""
        standing = profile.standing
        if not standing.in_force(request.ts):
            return False
        standing.refused += 1
        return standing.refused % IGNORED_REFUSALS == 0

    def _is_allowed(self, request: Request) -> bool:
        """Whether operators have said to leave the account alone."""
        steering = self.docket.steering
        return steering.allows_some and steering.is_allowed(
            request.account_id, ties_of(request), request.ip, request.ts
        )

    def _decide(
        self,
        profile: Profile,
        request: Request,
        offset: int,
        event: tuple[str, float],
        *,
        ignored: bool = False,
    ) -> Decision | None:
        if self._is_allowed(request):
            # Such an account comes here with every request, and weighing takes as long as ten.
            profile.standing.spared = True
            return None
        if profile.standing.spared:
            # It did so with leave: it is judged by what it does from now on.
            profile.standing.spared = False
            profile.excuse()
            return None
        refused = profile.standing.refused if ignored else 0
        exceedances = self._judge.exceedances(profile)
        finding = self._judge.find(exceedances)
        if ignored:
            finding = msgspec.structs.replace(finding, ignored=True)
        decision = self.docket.judge(
            self._cause(request, offset),
            profile,
            finding,
            lambda: own_grounds(exceedances, profile, self.population, event, refused),
            ties_of(request),
            address_of(request),
        )
        if decision is not None:
            take_back(profile, self.population, exceedances)
        return decision

    def apply(self, notice: Notice, source: Source) -> list[Decision]:
        """Do as a notice that stands at `source` says; return the decisions that follow."""
        return self._hearing.apply(notice, source)

    def snapshot(self) -> Snapshot:
        """Encode what has changed since the last snapshot."""
        changed, self._changed = self._changed, {}
        for account_id, profile in changed.items():
            profile.is_changed = False
            # Moved to the end, so that those at the front have been idle longest.
            del self._profiles[account_id]
            self._profiles[account_id] = profile
        population, rows = self.population.snapshot()
        docket = self.docket
        steering = docket.steering.to_bytes() if docket.steering_changed else None
        docket.steering_changed = False
        return Snapshot(
            profiles={account_id: profile.to_bytes() for account_id, profile in changed.items()},
            choices=self._activities.snapshot(),
            rows=rows,
            population=population,
            docket=docket.to_bytes(),
            exchange=self.exchange.to_bytes(),
            steering=steering,
        )

    def restore(
        self,
        population: bytes,
        get: GetRow,
        docket: bytes,
        exchange: bytes,
        steering: bytes | None,
    ) -> None:
        """Take up what snapshots held, reading the population's rows with `get`."""
        self.population.restore(population, get)
        self.docket.restore(docket, steering)
        self.exchange.restore(exchange)

    def trim(self, live_max: int) -> list[str]:
        """Let go of the longest idle profiles above a number, and return whose they were.

        Call it once snapshots are durable: the profiles are loaded again when needed.
        """
        idle = (account_id for account_id in self._profiles if account_id not in self._changed)
        gone = list(itertools.islice(idle, max(len(self._profiles) - live_max, 0)))
        for account_id in gone:
            del self._profiles[account_id]
        self._activities.forget(gone)
        return gone
