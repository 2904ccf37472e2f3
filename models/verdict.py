"""Writing a decision: reasons in figures that a person can compare, and the evidence."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

from models.calibration import Tail
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
from models.policy import Order
from models.population import Population
from models.profile import NEW_PAIRS, REQUESTS, START, Profile
from models.request import Request
from models.scenarios import Scenario
from models.signals import SCALES_S, Signal

#: A throttled account gets what nineteen in twenty accounts make do with.
_THROTTLE_SHARE = 0.05


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
    beyond, ban
        Whether it is beyond the level for a throttle, for a ban.
    """

    scenario: Scenario
    signal: Signal
    tail: Tail
    observed: float
    probability: float
    beyond: bool
    ban: bool


def write(
    request: Request,
    profile: Profile,
    population: Population,
    order: Order,
    exceedances: list[Exceedance],
    source: Source,
    identity: DetectorIdentity,
    config: DetectionConfig,
) -> Decision:
    """Write the decision that a request tipped.

    Its id follows from the subject, the revision, the action and that request alone, so that
    judging the same log again gives the same id.
    """
    strongest = exceedances[0]
    mode = config.scenarios.get(strongest.scenario.name, config.mode)
    revision = profile.standing.revision
    cause = f"account:{request.account_id}|{revision}|{order.action}|{request.request_id}"
    day, pairs = profile.windows[-1], profile.pairs_today
    return Decision(
        decision_id=hashlib.blake2b(cause.encode(), digest_size=16).hexdigest(),
        schema_version=SCHEMA_VERSION,
        scope="account",
        value=request.account_id,
        revision=revision,
        action=order.action,
        limit_per_minute=_limit(strongest, profile, population)
        if order.action == "throttle"
        else None,
        issued_at=rfc3339(request.ts),
        expires_at=rfc3339(order.expires_s),
        simulated=mode == "shadow",
        scenario=strongest.scenario.name,
        score=round(1 - strongest.probability, 9),
        reasons=_reasons(exceedances, profile, population),
        evidence=Evidence(
            window_start=rfc3339(day[START]),
            window_end=rfc3339(max(request.ts, profile.recent.latest_s)),
            requests=int(day[REQUESTS]),
            distinct_pairs=pairs,
            catalogue_share=round(min(1.0, pairs / population.catalogue_size), 6),
            sample_request_ids=tuple(profile.samples) or (request.request_id,),
            linked_accounts=(),
            source=source,
        ),
        detector=identity,
    )


def _limit(strongest: Exceedance, profile: Profile, population: Population) -> float:
    """Return requests per minute with which others get along over the same time.

    Where pairs are what is limited and a request brings many, there are as many fewer requests;
    and with each strike there is half as much.
    """
    signal, tail = strongest.signal, strongest.tail
    requests_per_unit = 1.0
    if signal.measure == "rare_reads":
        # Decibans can't be let through; the pairs that people open in a day can.
        tail = population.tail("choices", signal.scale_s) or tail
    elif signal.measure == "new_pairs":
        window = profile.windows[SCALES_S.index(signal.scale_s)]
        requests_per_unit = min(1.0, window[REQUESTS] / max(window[NEW_PAIRS], 1.0))
    per_window = tail.level(_THROTTLE_SHARE) * requests_per_unit
    tighter = 2 ** (profile.standing.strikes - 1)
    return max(round(per_window * 60 / signal.scale_s / tighter, 3), 0.001)


def _reasons(
    exceedances: list[Exceedance], profile: Profile, population: Population
) -> tuple[Reason, ...]:
    """Weigh each signal by how improbable it is, the heaviest first; the weights sum to one."""
    surprises = [-math.log(max(exceedance.probability, 1e-300)) for exceedance in exceedances]
    reasons = []
    for exceedance, surprise in zip(exceedances, surprises, strict=True):
        signal = exceedance.signal
        weight = round(surprise / sum(surprises), 3)
        if signal.measure == "rare_reads":
            copied = population.popularity.copied_share(profile.rare, profile.read)
            reasons.append(
                Reason(
                    signal="part of the pairs opened that follows the catalogue instead of people",
                    observed=round(100 * copied, 1),
                    expected=0.0,
                    unit="%",
                    weight=weight,
                )
            )
        else:
            reasons.append(
                Reason(
                    signal=signal.name,
                    observed=round(exceedance.observed, 1),
                    expected=round(exceedance.tail.usual, 1),
                    unit=signal.unit,
                    weight=weight,
                )
            )
    return tuple(sorted(reasons, key=lambda reason: -reason.weight))
