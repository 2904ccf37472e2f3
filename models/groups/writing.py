"""Writing what was found: a review of the group, and a verdict about each member."""

from __future__ import annotations

import functools
import hashlib
import operator
from typing import NamedTuple

import numpy as np

from models.decision import (
    LINKED_ACCOUNTS_MAX,
    SAMPLE_REQUEST_IDS_MAX,
    SCHEMA_VERSION,
    Decision,
    DetectorIdentity,
    Evidence,
    Reason,
    Source,
    rfc3339,
)
from models.groups.evidence import Finding, Weighed
from models.groups.group import Group
from models.groups.member import Member
from models.link_activity import LinkActivity
from models.notices import Allow, Approve, Reject, Release, Verdict
from models.scenarios.coordinated_sweep import NAME
from models.signals import DAY_S
from models.verdict import BAN_LEVEL_OF, decision_id

#: How long a review waits for a person; a group that goes on is reviewed anew.
REVIEW_S = 7 * DAY_S
#: What the members of a group say together, as it stands in reasons.
TOGETHER = "evidence that members divide the catalogue, whichever one is left out"
#: Members tell how they walk once they have compared so many ids.
_STEPS_MIN = 30


class Found(NamedTuple):
    """A group with copiers among its members, and the record that tipped the balance.

    Levels are decibans: from where on a group is found, and from where on members may be banned.
    """

    group: Group
    members: list[Member]
    finding: Finding
    weighed: Weighed
    level: float
    ban_level: float
    activity: LinkActivity


def write_review(
    found: Found, source: Source, identity: DetectorIdentity, *, simulated: bool
) -> Decision:
    """Write the decision that asks a person about a group.

    Its id follows from the link, the revision and the day, so that another order of arrival gives
    the same.
    """
    group, activity = found.group, found.activity
    members = sorted((found.members[at] for at in found.finding.found), key=lambda m: -m.own)
    chosen = sum(member.chosen for member in members)
    catalogue = max(member.catalogue_size for member in members)
    pairs = _distinct(members)
    return Decision(
        decision_id=decision_id(_key(group), group.revision, "review", str(activity.day)),
        schema_version=SCHEMA_VERSION,
        scope="group",
        value=group.link,
        revision=group.revision,
        action="review",
        limit_per_minute=None,
        issued_at=rfc3339(group.issued_s),
        expires_at=rfc3339(group.expires_s),
        simulated=simulated,
        scenario=NAME,
        score=_score(found.finding.evidence),
        reasons=(*_reasons(found, found.finding.found), _hours(members)),
        evidence=Evidence(
            window_start=rfc3339(min(member.first_s for member in members)),
            window_end=rfc3339(max(member.at_s for member in members)),
            requests=chosen,
            distinct_pairs=pairs,
            catalogue_share=round(min(1.0, pairs / catalogue), 6),
            sample_request_ids=tuple(m.request_id for m in members[:SAMPLE_REQUEST_IDS_MAX]),
            linked_accounts=tuple(m.account_id for m in members[:LINKED_ACCOUNTS_MAX]),
            source=source,
        ),
        detector=identity,
    )


def write_answer(
    group: Group,
    notice: Allow | Approve | Reject | Release,
    source: Source,
    identity: DetectorIdentity,
) -> Decision:
    """Write that a review is over, as an operator has answered it.

    Parameters
    ----------
    group
        The group, its revision that of the answer.
    notice
        The operator's message.
    """
    members, at_s = sorted(group.members), notice.issued_s
    kind = str(type(notice).__struct_config__.tag)
    # Who said it and why stands in the audit.
    said = f"answered by an operator ({kind}, message {notice.id})"
    return Decision(
        decision_id=decision_id(_key(group), group.revision, "release", notice.id),
        schema_version=SCHEMA_VERSION,
        scope="group",
        value=group.link,
        revision=group.revision,
        action="release",
        limit_per_minute=None,
        issued_at=rfc3339(at_s),
        expires_at=None,
        simulated=False,
        scenario=NAME,
        score=0.0,
        reasons=(Reason(said, 1, 0, "messages", 1.0),),
        evidence=Evidence(
            window_start=rfc3339(min(group.issued_s, at_s)),
            window_end=rfc3339(at_s),
            requests=0,
            distinct_pairs=0,
            catalogue_share=0.0,
            sample_request_ids=(),
            linked_accounts=tuple(members[:LINKED_ACCOUNTS_MAX]),
            source=source,
        ),
        detector=identity,
    )


def _key(group: Group) -> str:
    return f"group:{group.link}"


def write_verdict(found: Found, at: int, *, grave: bool) -> Verdict:
    """Write what a member's own partition is told; the id follows from what the member did."""
    member, link = found.members[at], found.group.link
    cause = f"verdict:{link}|{member.account_id}|{member.day}|{member.chosen}"
    others = sorted(
        (found.members[n] for n in found.finding.found if n != at), key=lambda m: -m.own
    )
    reasons = _reasons(found, [at])
    if grave:
        evidence, level = round(found.finding.evidence, 1), round(found.ban_level, 1)
        reasons += (Reason(f"{BAN_LEVEL_OF}{TOGETHER}", evidence, level, "decibans", 0.0),)
    return Verdict(
        id=hashlib.blake2b(cause.encode(), digest_size=16).hexdigest(),
        account_id=member.account_id,
        at_s=member.at_s,
        grave=grave,
        limit_per_minute=None,
        scenario=NAME,
        score=_score(found.finding.evidence),
        reasons=reasons,
        group=f"group:{link}",
        linked_accounts=tuple(other.account_id for other in others[:LINKED_ACCOUNTS_MAX]),
    )


def _score(evidence: float) -> float:
    return round(1 - 10 ** (-max(evidence, 0.0) / 10), 9)


def _hours(members: list[Member]) -> Reason:
    """Say when members are active: together, and each on average.

    No evidence, but what a person will want to know: copiers take turns, classes sit together.
    """
    together = functools.reduce(operator.or_, (member.hours for member in members))
    each = sum(member.hours.bit_count() for member in members) / len(members)
    said = "hours of the day in which any member chose pairs, beside those of one on average"
    return Reason(said, together.bit_count(), round(each, 1), "hours", 0.0)


def _distinct(members: list[Member]) -> int:
    """Return how many pairs members have chosen together today, or were shown on pages.

    Within a tenth, as long as pages show no pair twice.

    Every sample holds all of its pairs up to a hash; below the least of these the union is
    complete (Beyer et al., On Synopses for Distinct-Value Estimation, SIGMOD 2007).
    """
    reach = min(member.below for member in members)
    pairs = np.frombuffer(b"".join(member.pairs for member in members), dtype=np.uint32)
    counted = len(np.unique(pairs[pairs <= reach]))
    choices = max(counted * 2**32 / (reach + 1), counted)
    # A page is one choice that brought all it showed.
    chosen = sum(member.chosen for member in members)
    return round(choices * sum(m.chosen - m.pages + m.shown for m in members) / chosen)


def _reasons(found: Found, places: list[int]) -> tuple[Reason, ...]:
    """Say in figures what these members did, and what of it was to be expected."""
    weighed, finding = found.weighed, found.finding
    members = [found.members[at] for at in places]
    own = float(weighed.own[places].sum())
    reasons = [
        Reason(
            signal=f"accounts behind {found.group.link} that divide the catalogue among them",
            observed=len(finding.found),
            expected=0,
            unit="accounts",
            weight=0.4,
        ),
        Reason(
            signal=TOGETHER,
            observed=round(finding.evidence, 1),
            expected=round(found.level, 1),
            unit="decibans",
            weight=0.3,
        ),
        Reason(
            signal="evidence from choosing what hardly anybody reads and no other member has",
            observed=round(own, 1),
            expected=0.0,
            unit="decibans",
            weight=0.2,
        ),
        Reason(
            signal="pairs and pages chosen in common with other members, in a sample",
            observed=round(float(weighed.shared[places].sum()), 1),
            expected=round(float(weighed.shared_expected[places].sum()), 1),
            unit="choices",
            weight=0.1,
        ),
    ]
    if pages := sum(member.pages for member in members):
        said = "pages turned without opening any of the pairs on them"
        reasons.append(Reason(said, pages, 0, "pages", 0.0))
    steps = sum(member.steps for member in members)
    if steps >= _STEPS_MIN:
        up = sum(member.steps_up for member in members) / steps
        if abs(up - 0.5) > 2.5 / steps**0.5:
            reasons.append(
                Reason(
                    signal="pairs opened in the order of their ids",
                    observed=round(100 * max(up, 1 - up), 1),
                    expected=50.0,
                    unit="%",
                    weight=0.0,
                )
            )
    return tuple(reasons)
