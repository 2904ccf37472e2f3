"""The links' side: finds who divides the work, and says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

import msgspec

from models.config import DetectionConfig
from models.decision import Decision, DetectorIdentity, Source
from models.groups.evidence import Finding, Weighed, find, weigh
from models.groups.group import Group
from models.groups.group_state import VERSION
from models.groups.level import Level
from models.groups.manner import is_manner
from models.groups.member import Member
from models.groups.writing import REVIEW_S, Found, write_answer, write_review, write_verdict
from models.link_activity import LinkActivity
from models.notices import Allow, Approve, Notice, Reject, Release, Verdict, seconds
from models.profile_state import StateVersionError
from models.scenarios.coordinated_sweep import NAME
from models.signals import DAY_S
from models.steering import Steering

#: The budgets: an honest group is reviewed in vain on one of 10,000 of its days, and what lets a
#: member be banned is ten times rarer. A day of a group is one on which two of its accounts chose
#: pairs.
_REVIEWS, _BANS = 1e-4, 1e-5
#: Who goes about it alike is alike: what a whole class comes to together is its custom, and is
#: learned up to ten times the odds that a review takes, decibans.
_MANNER_LEARNED_MAX = 400.0
#: Adding so many decibans to what members say adds at most as many to what they say together. So
#: a group is weighed anew after this part of what it lacks, as missing overlap may say as much
#: again; one that was found, with every record that adds something.
_WEIGHED_AFTER = 0.5
#: A group under review is told of again once it has grown so many times, or half of the time
#: is over.
_GROWN = 3
#: How long a group is left alone that a person has cleared.
REJECTED_S = 30 * DAY_S


class Judgement(msgspec.Struct):
    """What came of a batch of link activity, in the order of its causes."""

    reviews: list[Decision] = []
    verdicts: list[Verdict] = []
    repeated: int = 0


class GroupsSnapshot(msgspec.Struct, frozen=True):
    """Everything that has changed since the last one, encoded: a row a link, and what is common
    to all."""

    groups: dict[str, bytes]
    level: bytes


class _Levels(msgspec.Struct, array_like=True):
    """How far honest groups reach, those of links and those of manners, as it is kept."""

    version: int = VERSION
    links: Level = msgspec.field(default_factory=Level)
    manners: Level = msgspec.field(default_factory=lambda: Level(learned_max=_MANNER_LEARNED_MAX))


class Groups:
    """Judges the links of one partition of the link activity's topic, in the order of its log.

    What comes of it is a function of that log and the configuration. Each record replaces its
    account's earlier ones, so that repeats change nothing; another order of arrival can change
    which record tips the balance, but not what is found once all have come.

    Parameters
    ----------
    config, version
        As the detector takes them.
    topic, partition
        Where the link activity comes from; goes into the evidence.
    load
        Returns a link's encoded group, `None` if there is none. Called when it is not live.
    steering
        What operators have said, heard before `hear` is told of it; by default nothing.
    """

    def __init__(
        self,
        config: DetectionConfig,
        version: str,
        topic: str,
        partition: int,
        load: Callable[[str], bytes | None],
        steering: Steering | None = None,
    ) -> None:
        self._is_off = config.scenarios.get(NAME) == "off"
        self._steering = steering or Steering(config)
        self._identity = DetectorIdentity(version=version, config_hash=config.config_hash())
        self._topic, self._partition = topic, partition
        self._load = load
        self._levels = _Levels()
        #: Live groups, those least recently part of a snapshot first.
        self._groups: dict[str, Group] = {}
        self._changed: dict[str, Group] = {}

    @property
    def live_groups(self) -> int:
        """Groups in memory."""
        return len(self._groups)

    def observe(self, activities: Sequence[LinkActivity], offsets: Sequence[int]) -> Judgement:
        """Take up what is told of accounts, and judge the links it is told of.

        Parameters
        ----------
        activities
            In the order of the log.
        offsets
            Where each one stands.
        """
        judgement = Judgement()
        if self._is_off:
            return judgement
        steering = self._steering
        for activity, offset in zip(activities, offsets, strict=True):
            if steering.allows_some and steering.allows_link(activity.link, activity.at_s):
                continue  # told before its account's partition heard so
            group = self._group_of(activity.link)
            if activity.day > group.day:
                self._close_day(group, activity.day)
            if not group.take(activity):
                judgement.repeated += 1
            elif group.grown > 0 and group.grown >= self._due(group):
                self._judge(group, activity, offset, judgement)
            if group.is_changed:
                self._changed[activity.link] = group
        return judgement

    def hear(self, notice: Notice, source: Source, waiting: Collection[str] = ()) -> list[Decision]:
        """Heed what people say of a group; return what follows: an answered review is over.

        After a `reject` the group is left alone for a month, unless it becomes much larger than
        what people were shown; after an `allow` as long as that holds, and a person is asked
        anew if it goes on then. Saying the same again changes nothing. Of links of other
        partitions nothing is known here.

        Parameters
        ----------
        notice, source
            What was said, and where it stands.
        waiting
            Links whose review has not run out by event time, as far as they are known.
        """
        if not isinstance(notice, Allow | Reject | Approve | Release):
            return []
        subject, links = notice.subject, list[str]()
        if subject.scope == "group":
            links = [subject.value]
        elif subject.scope == "range":
            links = [link for link in waiting if self._steering.allows_link(link, notice.issued_s)]
        decisions = []
        for link in links:
            group = self._known(link)
            if group is None:
                continue
            self._changed[link] = group
            is_open = group.waits and (link in waiting or notice.issued_s < group.expires_s)
            if self._ends_review(group, notice) and is_open:
                group.waits = False
                group.revision += 1
                decisions.append(write_answer(group, notice, source, self._identity))
        return decisions

    @staticmethod
    def _ends_review(group: Group, notice: Allow | Reject | Approve | Release) -> bool:
        """Take note of what was said of a group; return whether that ends its review."""
        if isinstance(notice, Reject):
            group.rejected_until_s = max(group.rejected_until_s, notice.issued_s + REJECTED_S)
        elif isinstance(notice, Allow):
            if seconds(notice.expires_at) <= notice.issued_s:
                return False  # an allowance is taken back
            group.expires_s = group.issued_s
        return True

    def _group_of(self, link: str) -> Group:
        group = self._known(link)
        if group is None:
            group = self._groups[link] = self._changed[link] = Group(link)
        return group

    def _known(self, link: str) -> Group | None:
        """Return a link's group, `None` if there is none."""
        group = self._groups.get(link)
        if group is None:
            data = self._load(link)
            if data is None:
                return None
            group = self._groups[link] = Group.from_bytes(data)
        return group

    def _due(self, group: Group) -> float:
        """Return from which growth on a group must be weighed anew, decibans."""
        return _WEIGHED_AFTER * (self._level(group).at(_REVIEWS) - max(group.evidence, 0.0))

    def _level(self, group: Group) -> Level:
        """Return how far the evidence about honest groups of its sort reaches."""
        return self._levels.manners if is_manner(group.link) else self._levels.links

    def _close_day(self, group: Group, day: int) -> None:
        """End a group's day; where nothing was found, it is learned how far its evidence went."""
        level = self._level(group)
        level.begin_day(day)
        if group.grown > 0:
            self._weigh(group)
        if not group.found and sum(m.day == group.day for m in group.members.values()) > 1:
            level.learn_one(group.peak)
        group.begin_day(day)

    def _weigh(self, group: Group) -> tuple[list[Member], Weighed, Finding] | None:
        """Weigh a group's members together; `None` without two who choose what people don't."""
        group.grown = 0.0
        members = list(group.members.values())
        if sum(member.suspicion > 0 for member in members) < 2:
            group.evidence = 0.0
            return None
        weighed = weigh(members)
        for member, own in zip(members, weighed.own.tolist(), strict=True):
            member.own = own
        finding = find(weighed.own, group.seen, by_manner=is_manner(group.link))
        group.evidence = finding.evidence
        group.peak = max(group.peak, finding.evidence)
        return members, weighed, finding

    def _judge(
        self, group: Group, activity: LinkActivity, offset: int, judgement: Judgement
    ) -> None:
        known = self._weigh(group)
        if known is None:
            return
        members, weighed, finding = known
        known_level = self._level(group)
        level = known_level.at(_REVIEWS)
        if finding.evidence < level or len(finding.found) < 2:
            return
        group.found = True
        if activity.at_s < group.rejected_until_s and len(finding.found) < _GROWN * group.told:
            return
        ban_level = known_level.at(_BANS)
        grave = finding.grave if finding.evidence >= ban_level else set()
        found = Found(group, members, finding, weighed, level, ban_level, activity)
        for at in finding.found:
            member = members[at]
            if member.told < member.chosen and member.day >= group.day - 1:
                member.told = member.chosen
                judgement.verdicts.append(write_verdict(found, at, grave=at in grave))
        half_way_s = (group.issued_s + group.expires_s) / 2
        if activity.at_s >= half_way_s or len(finding.found) >= _GROWN * group.told:
            group.revision += 1
            group.waits = True
            group.told = len(finding.found)
            group.issued_s, group.expires_s = activity.at_s, activity.at_s + REVIEW_S
            judgement.reviews.append(
                write_review(
                    found,
                    Source(self._topic, self._partition, offset),
                    self._identity,
                    simulated=self._steering.simulated(NAME),
                )
            )

    def snapshot(self) -> GroupsSnapshot:
        """Encode what has changed since the last snapshot."""
        changed, self._changed = self._changed, {}
        for link, group in changed.items():
            # Moved to the end, so that those at the front have been idle longest.
            del self._groups[link]
            self._groups[link] = group
            group.is_changed = False
        return GroupsSnapshot(
            groups={link: group.to_bytes() for link, group in changed.items()},
            level=msgspec.msgpack.encode(self._levels),
        )

    def restore(self, level: bytes) -> None:
        """Take up what a snapshot says that is common to all groups.

        Raises
        ------
        StateVersionError
            The state is newer than this code.
        """
        levels = msgspec.msgpack.decode(level, type=_Levels)
        if levels.version > VERSION:
            raise StateVersionError(
                f"groups of version {levels.version}; this pairwatch knows up to {VERSION}"
            )
        self._levels = levels

    def trim(self, live_max: int) -> list[str]:
        """Let go of the longest idle groups above a number, and return their links.

        Call it once snapshots are durable: the groups are loaded again when needed.
        """
        idle = (link for link in self._groups if link not in self._changed)
        gone = list(itertools.islice(idle, max(len(self._groups) - live_max, 0)))
        for link in gone:
            del self._groups[link]
        return gone
