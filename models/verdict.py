"""Writing a decision: reasons in figures that a person can compare, and the evidence."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

from models.calibration import Tail
from models.decision import (
    LINKED_ACCOUNTS_MAX,
    SCHEMA_VERSION,
    Decision,
    DetectorIdentity,
    Evidence,
    Reason,
    Source,
    rfc3339,
)
from models.population import Population
from models.profile import Profile
from models.scenarios import Scenario
from models.signals import DAY_S, SCALES_S, Signal

#: A throttled account gets what nineteen in twenty accounts make do with.
_THROTTLE_SHARE = 0.05
#: Begin the reasons that say from where on a signal is throttled for, or allows a ban.
LEVEL_OF, BAN_LEVEL_OF = "level for a throttle: ", "level for a ban: "
#: Says that an account went on against a decision in force.
REFUSED = "requests sent while they were refused"
#: The unit of a reason that is a person's word.
APPROVALS = "approvals"


class Exceedance(NamedTuple):
    """A signal that is out of the ordinary.

    Parameters
    ----------
    tail
        How far honest account days reach in it.
    observed
        How far this one has.
    probability
        The share (0–1) of honest account days that get so far.
    level, ban_level
        From where on this account is throttled for it, and may be banned.
    beyond, ban
        Whether it is beyond the level for a throttle, for a ban.
    """

    scenario: Scenario
    signal: Signal
    tail: Tail
    observed: float
    probability: float
    level: float
    ban_level: float
    beyond: bool
    ban: bool


class Cause(NamedTuple):
    """What tipped the balance.

    Parameters
    ----------
    id
        The request's or the notice's.
    account_id
        Whom the decision is about.
    ts
        Event time, Unix seconds.
    source
        Where it stands.
    """

    id: str
    account_id: str
    ts: float
    source: Source


class Grounds(NamedTuple):
    """Why a decision is made, as it will say itself; the reasons strongest first."""

    scenario: str
    score: float
    reasons: tuple[Reason, ...]
    limit_per_minute: float | None = None
    linked_accounts: tuple[str, ...] = ()


def decision_id(subject: str, revision: int, action: str, cause_id: str) -> str:
    """Return an id that follows from subject, revision, action and cause alone.

    Judging the same log again gives the same ids.
    """
    cause = f"{subject}|{revision}|{action}|{cause_id}"
    return hashlib.blake2b(cause.encode(), digest_size=16).hexdigest()


def write(
    cause: Cause,
    profile: Profile,
    population: Population,
    grounds: Grounds,
    identity: DetectorIdentity,
) -> Decision:
    """Write down where an account stands now, and why."""
    standing, day, pairs = profile.standing, profile.windows[-1], profile.pairs_today
    released = standing.action == "none"
    limit = grounds.limit_per_minute or _peers_limit(profile, population)
    return Decision(
        decision_id=standing.decision_id.hex(),
        schema_version=SCHEMA_VERSION,
        scope="account",
        value=cause.account_id,
        revision=standing.revision,
        action="release" if standing.action == "none" else standing.action,
        limit_per_minute=limit if standing.action == "throttle" else None,
        issued_at=rfc3339(standing.issued_s),
        expires_at=None if released else rfc3339(standing.expires_s),
        simulated=standing.simulated,
        scenario=grounds.scenario,
        score=grounds.score,
        reasons=grounds.reasons,
        evidence=Evidence(
            window_start=rfc3339(min(day.start_s, cause.ts) if day.requests else cause.ts),
            window_end=rfc3339(max(cause.ts, profile.recent.latest_s)),
            requests=day.requests,
            distinct_pairs=pairs,
            catalogue_share=round(min(1.0, pairs / population.catalogue_size), 6),
            sample_request_ids=tuple(profile.samples),
            linked_accounts=grounds.linked_accounts[:LINKED_ACCOUNTS_MAX],
            source=cause.source,
        ),
        detector=identity,
    )


def own_grounds(
    exceedances: list[Exceedance],
    profile: Profile,
    population: Population,
    event: tuple[str, float],
    refused: int,
) -> Grounds:
    """Return the grounds that lie in an account's own doings.

    Parameters
    ----------
    exceedances
        What is out of the ordinary, the least probable first; may be empty if `refused` is not 0.
    event
        The planned event that goes on, and its tolerance.
    refused
        Requests sent against the decision in force, where that tipped the balance; else 0.
    """
    reasons = list(_reasons(exceedances, profile))
    name, tolerance = event
    if refused:
        reasons.append(Reason(REFUSED, refused, 0, "requests", 0.0))
    if name:
        said = f"tolerance during the planned event {name}"
        reasons.append(Reason(said, 1, tolerance, "times", 0.0))
    if not exceedances:
        return Grounds(profile.standing.scenario, 1.0, tuple(reasons))
    strongest = exceedances[0]
    signal = strongest.signal
    reasons += _levels(exceedances, is_ban=profile.standing.action == "ban")
    return Grounds(
        strongest.scenario.name,
        round(1 - strongest.probability, 9),
        tuple(reasons),
        _limit(signal, strongest.tail, profile, population),
    )


def _levels(exceedances: list[Exceedance], *, is_ban: bool) -> list[Reason]:
    """Say, exactly, what would have kept it from happening.

    A ban takes a level of its own and a second kind of evidence, which is beyond the level for a
    throttle; without one the account ignored what was in force, which stands there already.
    """
    passed = [(LEVEL_OF, each, each.level) for each in exceedances[:1] if each.beyond]
    grave = next((each for each in exceedances if each.ban), None)
    if is_ban and grave is not None:
        others = [e for e in exceedances if e.beyond and e.signal.kind != grave.signal.kind]
        passed += [(LEVEL_OF, each, each.level) for each in others[:1] if each != exceedances[0]]
        passed.append((BAN_LEVEL_OF, grave, grave.ban_level))
    return [
        Reason(
            f"{of}{each.signal.name}",
            round(each.observed, 1),
            round(level, 1),
            each.signal.unit,
            0.0,
        )
        for of, each, level in passed
    ]


def _limit(signal: Signal, tail: Tail, profile: Profile, population: Population) -> float:
    """Return requests per minute with which others get along over the same time.

    Where pairs are what is limited and a request brings many, there are as many fewer requests;
    and with each strike there is half as much.
    """
    requests_per_unit, scale_s = 1.0, signal.scale_s
    if signal.is_evidence:
        # What a copier opens is too much in any number; what people open in a day is not.
        tail, scale_s = population.tail("choices", DAY_S) or tail, DAY_S
    elif signal.measure in ("new_pairs", "passed"):
        requests_per_unit = _requests_per_pair(profile, signal.scale_s)
    per_window = tail.level(_THROTTLE_SHARE) * requests_per_unit
    return _tighter(per_window * 60 / scale_s, profile)


def _peers_limit(profile: Profile, population: Population) -> float:
    """Return requests per minute for who is throttled for something that has no rate.

    A page brings many pairs: of these it is to get no more than others do, either.
    """
    requests, pairs = (population.tail(measure, DAY_S) for measure in ("requests", "new_pairs"))
    a_day = requests.level(_THROTTLE_SHARE) if requests else 1_440.0
    if pairs:
        a_day = min(a_day, pairs.level(_THROTTLE_SHARE) * _requests_per_pair(profile, DAY_S))
    return _tighter(a_day * 60 / DAY_S, profile)


def _requests_per_pair(profile: Profile, scale_s: int) -> float:
    """Return how many requests it took, in the window of a scale, to get a pair; at most 1."""
    window = profile.windows[SCALES_S.index(scale_s)]
    return min(1.0, window.requests / max(window.new_pairs, 1.0))


def _tighter(per_minute: float, profile: Profile) -> float:
    strikes = max(profile.standing.strikes - 1, 0.0)
    return float(max(round(per_minute / 2**strikes, 3), 0.001))


def _reasons(exceedances: list[Exceedance], profile: Profile) -> tuple[Reason, ...]:
    """Weigh each signal by how improbable it is, the heaviest first; the weights sum to one."""
    surprises = [-math.log(max(exceedance.probability, 1e-300)) for exceedance in exceedances]
    reasons = []
    for exceedance, surprise in zip(exceedances, surprises, strict=True):
        signal = exceedance.signal
        weight = round(surprise / sum(surprises), 3)
        if signal.measure == "rare_reads" and signal.scale_s == DAY_S:
            reasons.append(
                Reason(
                    signal="part of the pairs opened that follows the catalogue instead of people",
                    observed=round(100 * profile.copied_share, 1),
                    expected=0.0,
                    unit="%",
                    weight=weight,
                )
            )
        else:
            reasons.append(
                Reason(
                    signal=signal.name,
                    observed=round(float(exceedance.observed), 1),
                    expected=round(exceedance.tail.usual, 1),
                    unit=signal.unit,
                    weight=weight,
                )
            )
    return tuple(sorted(reasons, key=lambda reason: -reason.weight))
