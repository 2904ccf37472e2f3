"""What is remembered of one link: who is behind it, and what was said of them."""

from __future__ import annotations

import math
from typing import Final

import datasketches
import msgspec

from models.groups.group_state import VERSION, GroupWire
from models.groups.member import IDLE_DAYS_MAX, Member
from models.hashing import hash64
from models.link_activity import LinkActivity
from models.profile_state import StateVersionError

#: Members of a link that are looked at: those whose choices say most. A campus or a carrier's
#: network has many more, and hardly any copiers; the rest are counted.
MEMBERS_MAX = 80
#: Size of the sketch that counts members beyond these: 7 % off.
_CROWD_LG_K = 8
_CROWD_DAYS = 7

_encode: Final = msgspec.msgpack.Encoder().encode


class Group:
    """The members of one link, and the review it is under.

    Parameters
    ----------
    link
        `<link type>:<link value>`.
    """

    __slots__ = (
        "_crowd",
        "_crowd_before",
        "_crowd_day",
        "_least",
        "day",
        "evidence",
        "expires_s",
        "found",
        "grown",
        "is_changed",
        "issued_s",
        "link",
        "members",
        "peak",
        "rejected_until_s",
        "revision",
        "told",
        "waits",
    )

    def __init__(self, link: str) -> None:
        self.link = link
        self.members: dict[str, Member] = {}
        #: The latest day (since 1970, UTC) of which anything was told.
        self.day = 0
        #: The highest evidence of that day (decibans), and whether a group was found on it.
        self.peak = 0.0
        self.found = False
        #: What was found when its members were weighed last, and how much they have told of since
        #: that speaks for copiers (decibans).
        self.evidence = self.grown = 0.0
        #: Reviews so far, and of the latest when it began and ends (Unix seconds) and the members
        #: it named.
        self.revision = 0
        self.issued_s = self.expires_s = 0.0
        self.told = 0
        #: Whether nobody has answered it yet.
        self.waits = False
        #: Until when a person wants it left alone, Unix seconds.
        self.rejected_until_s = 0.0
        #: Members of this week, once there are more than are looked at; and of the week before.
        self._crowd: datasketches.hll_sketch | None = None
        self._crowd_day = 0
        self._crowd_before = 0.0
        #: Whether it is other than its latest snapshot: in a large crowd most of what is told
        #: changes nothing, and its row is long.
        self.is_changed = False
        #: Of as many members as are looked at, the one that goes first; `None` isn't known.
        self._least: Member | None = None

    def begin_day(self, day: int) -> None:
        """Turn to a new day: forget who has been idle for long."""
        self.day, self.peak, self.found = day, 0.0, False
        self.is_changed = True
        for name in [n for n, m in self.members.items() if m.day < day - IDLE_DAYS_MAX]:
            del self.members[name]
            self._least = None
        if self._crowd is not None and day >= self._crowd_day + _CROWD_DAYS:
            self._crowd_before = float(self._crowd.get_estimate())
            self._crowd = None

    def take(self, activity: LinkActivity) -> bool:
        """Take up what is told of a member; return whether it is new and looked at."""
        known = self.members.get(activity.account_id)
        if known is None:
            return activity.day >= self.day - IDLE_DAYS_MAX and self._take_new(activity)
        if not known.tells_more(activity):
            return False
        member = self.members[activity.account_id] = known.follow(activity)
        # What is left of earlier days was there before.
        before = known.suspicion if activity.day == known.day else member.past
        self.grown += max(member.suspicion - before, 0.0)
        self.is_changed = True
        if self._least is known:
            self._least = None
        elif self._least is not None and member.rank < self._least.rank:
            self._least = member
        return True

    def _take_new(self, activity: LinkActivity) -> bool:
        members, account_id = self.members, activity.account_id
        if self._crowd is not None:
            before = self._crowd.get_estimate()
            self._crowd.update(hash64(account_id))
            self.is_changed |= self._crowd.get_estimate() != before
        if len(members) >= MEMBERS_MAX:
            if self._crowd is None:
                self._crowd = datasketches.hll_sketch(_CROWD_LG_K, datasketches.HLL_4)
                self._crowd_day = self.day
                self.is_changed = True
                for name in (*members, account_id):
                    self._crowd.update(hash64(name))
            least = self._least
            if least is None:
                least = self._least = _least_of(list(members.values()))
            if (activity.weight, account_id) < least.rank:
                return False
            del members[least.account_id]
            self._least = None
        member = members[account_id] = Member.of(activity)
        self.grown += member.suspicion
        self.is_changed = True
        return True

    @property
    def seen(self) -> int:
        """How many members the link has, also those not looked at."""
        crowd = float(self._crowd.get_estimate()) if self._crowd is not None else 0.0
        return max(len(self.members), int(crowd + 0.5), int(self._crowd_before + 0.5))

    def to_bytes(self) -> bytes:
        """Encode the group: about 800 bytes a member at most."""
        return _encode(
            GroupWire(
                version=VERSION,
                link=self.link,
                day=self.day,
                peak=self.peak,
                found=self.found,
                revision=self.revision,
                issued_s=self.issued_s,
                expires_s=self.expires_s,
                rejected_until_s=self.rejected_until_s,
                told=self.told,
                members=list(self.members.values()),
                crowd=b"" if self._crowd is None else self._crowd.serialize_compact(),
                crowd_day=self._crowd_day,
                crowd_before=self._crowd_before,
                waits=self.waits,
                evidence=self.evidence,
                grown=self.grown,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Group:
        """Take up what `to_bytes` encoded.

        Raises
        ------
        StateVersionError
            The state is newer than this code.
        """
        wire = msgspec.msgpack.decode(data, type=GroupWire)
        if wire.version > VERSION:
            raise StateVersionError(
                f"group of version {wire.version}; this pairwatch knows up to {VERSION}"
            )
        group = cls(wire.link)
        group.day, group.peak, group.found = wire.day, wire.peak, wire.found
        group.revision, group.told = wire.revision, wire.told
        group.issued_s, group.expires_s = wire.issued_s, wire.expires_s
        group.rejected_until_s, group.waits = wire.rejected_until_s, wire.waits
        group.evidence, group.grown = wire.evidence, wire.grown
        group.members = {member.account_id: member for member in wire.members}
        if wire.crowd:
            group._crowd = datasketches.hll_sketch.deserialize(wire.crowd)
        group._crowd_day, group._crowd_before = wire.crowd_day, wire.crowd_before
        return group


def _least_of(members: list[Member]) -> Member:
    """Return the one that goes first, by `Member.rank`."""
    found, least = members[0], math.inf
    for one in members:
        # Written out: to ask everybody for the rank takes ten times as long.
        says = one.past + one.weight
        if says < least or (says == least and one.account_id < found.account_id):
            found, least = one, says
    return found
