"""The decisions of one partition: who gets one, and who has one in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from models.breaker import Breaker
from models.breaker_state import BreakerWire
from models.config import DetectionConfig
from models.decision import Decision, DetectorIdentity, Reason
from models.hashing import hash32, pack_hashes
from models.in_force import InForce
from models.links import address_of, ties_of
from models.notices import (
    seconds,
)
from models.policy import Finding, Order, Standing, decide
from models.population import Population
from models.profile import Profile
from models.request import Request
from models.steering import Approval, Steering
from models.verdict import APPROVALS, Cause, Grounds, decision_id, write

#: What covers the members of an approved group.
_GROUP_SCENARIO = "coordinated-sweep"


class _Wire(msgspec.Struct, array_like=True):
    in_force: dict[str, float]
    breaker: BreakerWire
    lifted: list[str] = []


class Docket:
    """Turns findings into decisions, and keeps in mind what is in force.

    Parameters
    ----------
    config
        The operator's part.
    identity
        Goes into the decisions.
    population
        The peers, for figures.
    """

    def __init__(
        self,
        config: DetectionConfig,
        identity: DetectorIdentity,
        population: Population,
    ) -> None:
        self._identity = identity
        self._population = population
        self._share_max = config.blast_radius_share
        self.steering = Steering(config)
        self.steering_changed = False
        self.breaker = Breaker()
        self.in_force = InForce()

    def judge(
        self,
        cause: Cause,
        profile: Profile,
        finding: Finding,
        grounds: Callable[[], Grounds],
        links: Iterable[str] = (),
        address: str = "",
    ) -> Decision | None:
        """Decide about an account, unless what is in force is enough or people have said no.

        Parameters
        ----------
        cause
            What tipped the balance.
        profile
            The account's; its standing changes with the decision.
        finding
            How grave it is.
        grounds
            Says why; asked for after the standing has changed.
        links, address
            The account's, as far as they are known: `<link type>:<link value>`.
        """
        links = tuple(links)
        if self.steering.is_allowed(cause.account_id, links, address, cause.ts):
            return None
        standing = profile.standing
        scenario = finding.scenario or standing.scenario
        if standing.in_force(cause.ts) and self._would_lift(standing, scenario):
            return None
        holds = self._holds(standing, scenario, cause.ts)
        order = decide(standing, finding, cause.ts, counts=holds)
        if order is None:
            return None
        return self._decide(cause, profile, order, grounds, links, address, is_new=not holds)

    def cover(self, cause: Cause, profile: Profile, request: Request) -> Decision | None:
        """Decide about an account that is part of a group for which a person approved it.

        Part of it is who carries the link, or was named behind it.
        """
        links, standing = ties_of(request), profile.standing
        approved = self.steering.approval(links, cause.ts, named=standing.group)
        if approved is None:
            return None
        if standing.in_force(cause.ts) and self._would_lift(standing, _GROUP_SCENARIO):
            return None
        group, approval = approved
        holds = self._holds(standing, _GROUP_SCENARIO, cause.ts)
        if holds and (standing.action == "ban" or approval.action == standing.action):
            return None
        if self.steering.is_allowed(cause.account_id, links, request.ip, cause.ts):
            return None
        order = Order(approval.action, approval.expires_s)
        decision = self._decide(
            cause,
            profile,
            order,
            lambda: _approved(group, approval),
            links,
            address_of(request),
            is_new=not holds,
        )
        # What people say of the link reaches whom it covered, whatever it carries by then.
        profile.standing = msgspec.structs.replace(profile.standing, group=hash32(group))
        return decision

    def spare(self, cause: Cause, profile: Profile, request: Request) -> Decision | None:
        """Lift what an account has in force that turns out to be one to leave alone.

        What it is tied to may be known only by now: where a group's models spoke, or where it
        comes from another address.
        """
        if not profile.standing.in_force(cause.ts):
            return None
        links = ties_of(request)
        if not self.steering.is_allowed(cause.account_id, links, request.ip, cause.ts):
            return None
        return self.let_go(cause, profile, "lifted: operators said to leave it alone", "requests")

    def meet(self, profile: Profile, request: Request) -> None:
        """Take note of what ties an account now for which something may be in force.

        So an allowance reaches it at once, whatever it had when it was decided about.
        """
        standing = profile.standing
        if standing.in_force(request.ts):
            standing.links = pack_hashes(ties_of(request))
            standing.address = address_of(request)

    def _holds(self, standing: Standing, scenario: str, now_s: float) -> bool:
        """Whether what is in force counts: what was only simulated does not once it is meant."""
        is_meant = not (self.breaker.is_open or self.steering.simulated(scenario))
        return standing.in_force(now_s) and not (standing.simulated and is_meant)

    def _would_lift(self, standing: Standing, scenario: str) -> bool:
        """Whether one that is simulated would take the place of one that is meant.

        Only what a broken upstream brought may go like that.
        """
        is_shadow = self.steering.simulated(scenario) and not self.breaker.is_open
        return is_shadow and not standing.simulated

    def _decide(
        self,
        cause: Cause,
        profile: Profile,
        order: Order,
        grounds: Callable[[], Grounds],
        links: tuple[str, ...],
        address: str,
        *,
        is_new: bool,
    ) -> Decision:
        profile.standing = profile.standing.follow(order, cause.ts)
        why = grounds()
        is_broken = self.breaker.strike(profile.mark, cause.ts, self._share_max, is_new=is_new)
        standing = profile.standing
        profile.standing = msgspec.structs.replace(
            standing,
            decision_id=_id(cause, standing.revision, standing.action),
            scenario=why.scenario,
            simulated=is_broken or self.steering.simulated(why.scenario),
            links=pack_hashes(links),
            address=address,
        )
        self.in_force.hold(f"account:{cause.account_id}", order.expires_s)
        return write(cause, profile, self._population, why, self._identity)

    def hold(self, decision: Decision) -> None:
        """Keep the end of a decision about a group in mind, or that it was answered."""
        if decision.expires_at is None:
            self.in_force.lift(decision.key)
        else:
            self.in_force.hold(decision.key, seconds(decision.expires_at))

    def let_go(self, cause: Cause, profile: Profile, why: str, unit: str) -> Decision:
        """Lift what an account has in force; `why` and its unit are for the reasons."""
        scenario = profile.standing.scenario
        standing = profile.standing.release(cause.ts)
        self.in_force.lift(f"account:{cause.account_id}")
        profile.standing = msgspec.structs.replace(
            standing, decision_id=_id(cause, standing.revision, "release")
        )
        grounds = Grounds(scenario, 0.0, (Reason(why, 1, 0, unit, 1.0),))
        return write(cause, profile, self._population, grounds, self._identity)

    def to_bytes(self) -> bytes:
        """Encode what is in force, what was lifted, and the breaker."""
        in_force = self.in_force
        wire = _Wire(in_force.ends_s, self.breaker.to_wire(), list(in_force.lifted))
        return msgspec.msgpack.encode(wire)

    def restore(self, data: bytes, steering: bytes | None) -> None:
        """Take up what `to_bytes` and the steering's own encoded."""
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self.in_force = InForce(wire.in_force, wire.lifted)
        self.breaker = Breaker.from_wire(wire.breaker)
        if steering is not None:
            self.steering.restore(steering)


def _approved(group: str, approval: Approval) -> Grounds:
    said = f"part of {group}, for which an operator approved this (message {approval.notice_id})"
    reason = Reason(said, 1, 0, APPROVALS, 1.0)
    return Grounds(_GROUP_SCENARIO, 1.0, (reason,), approval.limit_per_minute)


def _id(cause: Cause, revision: int, action: str) -> bytes:
    return bytes.fromhex(decision_id(f"account:{cause.account_id}", revision, action, cause.id))
