"""What a partition is told by people, groups' models and its worker, and what follows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from models.decision import Decision, Source
from models.docket import Docket
from models.feedback import give_back, take_back
from models.hashing import hash32
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
)
from models.policy import Finding
from models.population import Population
from models.profile import Profile
from models.verdict import Cause, Grounds


class Hearing:
    """Turns what is said into releases, decisions about members, and what is learned.

    Parameters
    ----------
    docket
        The partition's decisions.
    population
        The peers; it hears the feedback.
    profile_of
        Returns an account's live profile, `None` if nothing is known of it.
    ties
        Returns the links (`<link type>:<link value>`) that an account was seen with lately, and
        its latest address; empty where they aren't known.
    """

    def __init__(
        self,
        docket: Docket,
        population: Population,
        profile_of: Callable[[str], Profile | None],
        ties: Callable[[str], tuple[tuple[str, ...], str]],
    ) -> None:
        self._docket = docket
        self._population = population
        self._profile_of = profile_of
        self._ties = ties

    def apply(self, notice: Notice, source: Source) -> list[Decision]:
        """Do as a notice says; return the decisions that follow.

        Parameters
        ----------
        notice
            An operator's message, another model's verdict, or a worker's word on detail; one with a
            known id does nothing.
        source
            Where it stands.
        """
        docket, steering = self._docket, self._docket.steering
        if not steering.hear(notice):
            return []
        docket.steering_changed = True
        match notice:
            case Verdict():
                return self._hear_verdict(notice, source)
            case Allow(subject=subject):
                steering.allow(notice)
                now_s, is_allowed = notice.issued_s, steering.is_allowed
                links = (subject.value,) if subject.scope == "group" else ()
                return self._release(
                    notice,
                    subject,
                    source,
                    lambda name, profile: is_allowed(name, links, profile.standing.address, now_s),
                )
            case Release(subject=subject):
                steering.withdraw(subject)
                return self._release(notice, subject, source, lambda *_: True)
            case Approve():
                steering.approve(notice)
            case Confirm(subject=subject) | Overturn(subject=subject):
                return self._hear_feedback(notice, subject, source)
            case SetMode():
                steering.set_mode(notice)
                if notice.scenario is None:
                    docket.breaker.close()
                return self._release(notice, None, source, self._is_meant_no_more)
            case Calendar():
                steering.plan(notice)
            case Detail():
                steering.full_per_minute = notice.full_per_minute
            case Reject():
                pass  # the group's own models hear it
        return []

    def _hear_verdict(self, verdict: Verdict, source: Source) -> list[Decision]:
        profile = self._profile_of(verdict.account_id)
        if profile is None:
            return []
        links, address = self._ties(verdict.account_id)
        link = verdict.group.removeprefix("group:")
        decision = self._docket.judge(
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
        if standing.decision_id.hex() != notice.decision_id:
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
            account_ids = self._docket.in_force.of("account")
        group = hash32(subject.value) if subject is not None and subject.scope == "group" else None
        released = []
        for account_id in account_ids:
            profile, key = self._profile_of(account_id), f"account:{account_id}"
            if (
                profile is not None
                and profile.standing.action != "none"
                and (key in self._docket.in_force or profile.standing.in_force(notice.issued_s))
                and (group is None or profile.standing.has_link(group))
                and is_due(account_id, profile)
            ):
                cause = Cause(notice.id, account_id, notice.issued_s, source)
                # Who said it and why stands in the audit: what a customer is shown is not
                # written by hand.
                kind = type(notice).__struct_config__.tag
                said = f"lifted by an operator ({kind}, message {notice.id})"
                released.append(self._docket.let_go(cause, profile, said, "messages"))
        return released

    def _is_meant_no_more(self, _: str, profile: Profile) -> bool:
        standing = profile.standing
        return not standing.simulated and self._docket.steering.simulated(standing.scenario)
