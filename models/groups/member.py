"""What is remembered of one member of a link."""

from __future__ import annotations

import msgspec

from models.groups.day import owner_mark
from models.link_activity import LinkActivity

#: What is left of a day's evidence a day later: a week later it is half.
_FADING = 0.9
#: After so many days without a choice a member is forgotten.
IDLE_DAYS_MAX = 7


class Member(msgspec.Struct, array_like=True):
    """The latest day of an account as its link activity tells it, and what is left of earlier ones.

    Parameters
    ----------
    account_id, mark
        The account, and the hash by which it is known as an owner.
    past
        What earlier days said, decibans; at least 0.
    weight
        What the latest day says by itself, without the other members, decibans.
    own
        What all of it says beside the other members, as last weighed.
    told
        The choices of the latest day at which a verdict was given last; 0 is none.
    """

    account_id: str
    mark: int
    day: int
    at_s: float
    chosen: int
    first_s: float
    hours: int
    steps_up: int
    steps: int
    catalogue_size: int
    below: int
    pairs: bytes
    evidence: bytes
    owners: bytes
    request_id: str
    weight: float
    past: float = 0.0
    own: float = 0.0
    told: int = 0
    pages: int = 0
    shown: int = 0

    @classmethod
    def of(cls, activity: LinkActivity) -> Member:
        """Return a member of whom this is all that is known."""
        return cls(
            account_id=activity.account_id,
            mark=owner_mark(activity.account_id),
            day=activity.day,
            at_s=activity.at_s,
            chosen=activity.chosen,
            first_s=activity.first_s,
            hours=activity.hours,
            steps_up=activity.steps_up,
            steps=activity.steps,
            catalogue_size=activity.catalogue_size,
            below=activity.below,
            pairs=activity.pairs,
            evidence=activity.evidence,
            owners=activity.owners,
            request_id=activity.request_id,
            weight=activity.weight,
            pages=activity.pages,
            shown=activity.shown,
        )

    def follow(self, activity: LinkActivity) -> Member:
        """Return what is known of the member once it has told more."""
        member = Member.of(activity)
        if activity.day > self.day:
            member.past = max(self.own, 0.0) * _FADING ** (activity.day - self.day)
        else:
            member.past, member.told = self.past, self.told
        return member

    def tells_more(self, activity: LinkActivity) -> bool:
        """Whether a record goes beyond what is known."""
        return (activity.day, activity.chosen) > (self.day, self.chosen)

    @property
    def suspicion(self) -> float:
        """What speaks for a copier, whatever the others do, decibans; at least 0."""
        return max(self.past + self.weight, 0.0)

    @property
    def rank(self) -> tuple[float, str]:
        """Who is kept rather than others, where there are too many."""
        return self.past + self.weight, self.account_id
