"""The decisions of one partition: who gets one, who has one in force, and what people say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from models.breaker import Breaker
from models.breaker_state import BreakerWire
from models.config import DetectionConfig
from models.decision import Decision, DetectorIdentity, Reason, Source
from models.feedback import give_back, take_back
from models.hashing import hash32
from models.in_force import InForce
from models.links import ties_of
from models.notices import (
    Allow,
    Approve,
    Calendar,
    Confirm,
    Detail,
    Notice,
    Overturn,
    Reject,
    Release,
    SetMode,
    Subject,
    Verdict,
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

Feedback = Literal["confirm", "overturn"]


class _Wire(msgspec.Struct, array_like=True):
    in_force: dict[str, float]
    breaker: BreakerWire
    lifted: list[str] = []


class Docket:
    """Turns findings into decisions, and what people say into releases.

    Parameters
    ----------
    config
        The operator's part.
    identity
        Goes into the decisions.
    population
        The peers, for figures; it hears the feedback.
    profile_of
        Returns an account's live profile, `None` if nothing is known of it.
    ties
        Returns the links (`<link type>:<link value>`) that an account was seen with lately, and
        its latest address; empty where they aren't known.
    """

    def __init__(
        self,
        config: DetectionConfig,
        identity: DetectorIdentity,
        population: Population,
        profile_of: Callable[[str], Profile | None],
        ties: Callable[[str], tuple[tuple[str, ...], str]],
    ) -> None:
        self._identity = identity
        self._population = population
        self._profile_of = profile_of
        self._ties = ties
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
        address: str | None = None,
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
            request.ip,
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
        return self._let_go(cause, profile, "lifted: operators said to leave it alone", "requests")

    def meet(self, profile: Profile, request: Request) -> None:
        """Take note of what ties an account now for which something may be in force.

        So an allowance reaches it at once, whatever it had when it was decided about.
        """
        standing = profile.standing
        if standing.in_force(request.ts):
            standing.links = tuple(hash32(link) for link in ties_of(request))
            standing.address = request.ip or ""

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
        address: str | None,
        *,
        is_new: bool,
    ) -> Decision:
        profile.standing = profile.standing.follow(order, cause.ts)
        why = grounds()
        is_broken = self.breaker.strike(profile.mark, cause.ts, self._share_max, is_new=is_new)
        standing = profile.standing
        profile.standing = msgspec.structs.replace(
            standing,
            decision_id=decision_id(
                f"account:{cause.account_id}", standing.revision, standing.action, cause.id
            ),
            scenario=why.scenario,
            simulated=is_broken or self.steering.simulated(why.scenario),
            links=tuple(hash32(link) for link in links),
            address=address or "",
        )
        self.in_force.hold(f"account:{cause.account_id}", order.expires_s)
        return write(cause, profile, self._population, why, self._identity)

    def hold(self, decision: Decision) -> None:
        """Keep the end of a decision about a group in mind, or that it was answered."""
        if decision.expires_at is None:
            self.in_force.lift(decision.key)
        else:
            self.in_force.hold(decision.key, seconds(decision.expires_at))

    def apply(self, notice: Notice, source: Source) -> list[Decision]:
        """Do as a notice says; return the decisions that follow.

        Parameters
        ----------
        notice
            An operator's message, or another model's verdict; one with a known id does nothing.
        source
            Where it stands.
        """
        if not self.steering.hear(notice):
            return []
        self.steering_changed = True
        match notice:
            case Verdict():
                return self._hear_verdict(notice, source)
            case Allow(subject=subject):
                self.steering.allow(notice)
                now_s, is_allowed = notice.issued_s, self.steering.is_allowed
                links = (subject.value,) if subject.scope == "group" else ()
                return self._release(
                    notice,
                    subject,
                    source,
                    lambda name, profile: is_allowed(name, links, profile.standing.address, now_s),
                )
            case Release(subject=subject):
                self.steering.withdraw(subject)
                return self._release(notice, subject, source, lambda *_: True)
            case Approve():
                self.steering.approve(notice)
            case Confirm(subject=subject) | Overturn(subject=subject):
                return self._hear_feedback(notice, subject, source)
            case SetMode():
                self.steering.set_mode(notice)
                if notice.scenario is None:
                    self.breaker.close()
                return self._release(notice, None, source, self._is_meant_no_more)
            case Calendar():
                self.steering.plan(notice)
            case Detail():
                self.steering.full_per_minute = notice.full_per_minute
            case Reject():
                pass  # the group's own models hear it
        return []

    def _hear_verdict(self, verdict: Verdict, source: Source) -> list[Decision]:
        profile = self._profile_of(verdict.account_id)
        if profile is None:
            return []
        links, address = self._ties(verdict.account_id)
        link = verdict.group.removeprefix("group:")
        decision = self.judge(
            Cause(verdict.id, verdict.account_id, verdict.at_s, source),
            profile,
            Finding(
                throttle=True,
                ban=verdict.grave,
                kinds=2,
                warm=self._population.warm,
                scenario=verdict.scenario,
            ),
            lambda: Grounds(
                verdict.scenario,
                verdict.score,
                verdict.reasons,
                verdict.limit_per_minute,
                verdict.linked_accounts,
            ),
            dict.fromkeys((*links, link)),
            address,
        )
        if decision is not None:
            take_back(profile, self._population)
            # Nothing that the account sends need name it: a manner is no part of a request.
            profile.standing = msgspec.structs.replace(profile.standing, group=hash32(link))
        return [] if decision is None else [decision]

    def _hear_feedback(
        self, notice: Confirm | Overturn, subject: Subject, source: Source
    ) -> list[Decision]:
        is_right = isinstance(notice, Confirm)
        self._population.feedback(right=is_right)  # whosever account it is: calibration is shared
        profile = self._profile_of(subject.value) if subject.scope == "account" else None
        if profile is None:
            return []
        standing = profile.standing
        profile.standing = standing.judged_right() if is_right else standing.judged_wrong()
        if isinstance(notice, Confirm):
            take_back(profile, self._population)
            return []
        if standing.decision_id != notice.decision_id:
            return []
        released = self._release(notice, subject, source, lambda *_: True)
        give_back(profile, self._population, standing)
        return released

    def _release(
        self,
        notice: Allow | Release | Overturn | SetMode,
        subject: Subject | None,
        source: Source,
        is_due: Callable[[str, Profile], bool],
    ) -> list[Decision]:
        """Lift what is in force for those of a subject's accounts that are due."""
        if subject is not None and subject.scope == "account":
            account_ids = [subject.value]
        else:
            account_ids = self.in_force.of("account")
        group = hash32(subject.value) if subject is not None and subject.scope == "group" else None
        released = []
        for account_id in account_ids:
            profile, key = self._profile_of(account_id), f"account:{account_id}"
            if (
                profile is not None
                and profile.standing.action != "none"
                and (key in self.in_force or profile.standing.in_force(notice.issued_s))
                and (group is None or group in (profile.standing.group, *profile.standing.links))
                and is_due(account_id, profile)
            ):
                cause = Cause(notice.id, account_id, notice.issued_s, source)
                # Who said it and why stands in the audit: what a customer is shown is not
                # written by hand.
                kind = type(notice).__struct_config__.tag
                said = f"lifted by an operator ({kind}, message {notice.id})"
                released.append(self._let_go(cause, profile, said, "messages"))
        return released

    def _let_go(self, cause: Cause, profile: Profile, why: str, unit: str) -> Decision:
        scenario = profile.standing.scenario
        standing = profile.standing.release(cause.ts)
        subject = f"account:{cause.account_id}"
        self.in_force.lift(subject)
        profile.standing = msgspec.structs.replace(
            standing, decision_id=decision_id(subject, standing.revision, "release", cause.id)
        )
        grounds = Grounds(scenario, 0.0, (Reason(why, 1, 0, unit, 1.0),))
        return write(cause, profile, self._population, grounds, self._identity)

    def _is_meant_no_more(self, _: str, profile: Profile) -> bool:
        standing = profile.standing
        return not standing.simulated and self.steering.simulated(standing.scenario)

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
