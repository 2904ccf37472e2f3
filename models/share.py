"""A share of the partitions, judged in step with those who judge the others.

Logs in files are judged a stretch at a time: what lies within one minute of event time. What the
partitions tell each other takes effect between two stretches, so it makes no difference which of
them are judged together: in one process, or in several that meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from models.decision import Decision, Source
from models.detector import Detector
from models.exchange import DELAY, EPOCH_S, Digest
from models.groups import Groups
from models.link_activity import LinkActivity
from models.notices import Verdict
from models.observation import Observation
from models.request import Request

#: Where a decision stands among those of its stretch: at a request's place first its own, then
#: those about groups by the activity that tipped the balance, and then by their number.
Rank = tuple[int, int, float, str, str, str, int]


class Work(msgspec.Struct, array_like=True):
    """What one partition has to judge of a stretch, with each request's place in the log."""

    partition: int
    requests: list[Request]
    places: list[int]


class Stretch(msgspec.Struct, array_like=True):
    """Requests within one minute of event time.

    Parameters
    ----------
    ts
        The first one's, Unix seconds.
    last
        The place of the last one, where what comes of groups stands.
    partitions
        All those with a request in it.
    works
        What this share has to judge of it.
    """

    ts: float
    last: int
    partitions: list[int]
    works: list[Work]


class Letter(msgspec.Struct, array_like=True):
    """What one share tells another as they meet; `count` is what it tells all of them."""

    digests: list[Digest] = []
    activities: list[LinkActivity] = []
    verdicts: list[tuple[Rank, Verdict]] = []
    count: int = 0


#: Hands out a letter to each share, and returns those to oneself: first one's own.
Meet = Callable[[list[Letter]], list[Letter]]


def keep(letters: list[Letter]) -> list[Letter]:
    """Meet nobody: the only share there is."""
    return letters


class Share:
    """Judges some of the partitions.

    Parameters
    ----------
    detectors, groups
        By partition, the same ones in both.
    share_of
        For each of all the partitions the number of the share that judges it.
    home_of
        Returns the partition of an account, or of a link.
    meet
        Meets the other shares.
    """

    def __init__(
        self,
        detectors: Mapping[int, Detector],
        groups: Mapping[int, Groups],
        share_of: Sequence[int],
        home_of: Callable[[str], int],
        meet: Meet = keep,
    ) -> None:
        self._detectors = detectors
        self._groups = groups
        self._share_of = share_of
        self._home_of = home_of
        self._meet = meet
        #: By partition the epoch it has begun, and those nobody waits for until they begin one.
        self._begun = [0] * len(share_of)
        self._excused: set[int] = set()

    def judge(
        self, stretch: Stretch, note: Callable[[int, Observation], None]
    ) -> list[tuple[Rank, Decision]]:
        """Judge this share of a stretch; every share is given each stretch, in the same order.

        Parameters
        ----------
        stretch
            The stretch.
        note
            Is told of what came of each partition.
        """
        self._begin_epoch(stretch)
        found: list[tuple[Rank, Decision]] = []
        letters = self._letters()
        for work in stretch.works:
            seen = self._detectors[work.partition].observe(work.requests, work.places)
            if seen.taken < len(work.requests):
                raise AssertionError(f"partition {work.partition} waits for {seen.lacking}")
            note(work.partition, seen)
            found += (
                ((one.evidence.source.offset, 0, 0.0, "", "", "", 0), one) for one in seen.decisions
            )
            for activity in seen.activities:
                letters[self._share_of[self._home_of(activity.link)]].activities.append(activity)
        return found + self._settle(letters, stretch.last)

    def _letters(self) -> list[Letter]:
        return [Letter([], [], []) for _ in range(max(self._share_of) + 1)]

    def _begin_epoch(self, stretch: Stretch) -> None:
        """Let partitions that begin an epoch tell what they learned, before they go on.

        Whoever was silent for so long that what it knows is overdue is waited for no more.
        """
        epoch = int(stretch.ts // EPOCH_S)
        beginning = {n for n in stretch.partitions if epoch > self._begun[n]}
        if not beginning:
            return
        digests = [
            digest
            for work in stretch.works
            if work.partition in beginning
            for digest in self._detectors[work.partition].tell(work.requests[0].ts)
        ]
        letters = self._letters()
        for letter in letters:
            letter.digests = digests
        for letter in self._meet(letters):
            for digest in letter.digests:
                for detector in self._detectors.values():
                    detector.exchange.receive(digest, 0)
        self._excused -= beginning
        overdue = {
            n
            for n, begun in enumerate(self._begun)
            if n not in beginning | self._excused and begun - 1 < epoch - DELAY
        }
        if overdue:
            silent = [n for n in range(len(self._begun)) if n not in beginning]
            self._excused.update(silent)
            for detector in self._detectors.values():
                detector.exchange.excuse(silent)
        for n in beginning:
            self._begun[n] = epoch

    def _settle(self, letters: list[Letter], place: int) -> list[tuple[Rank, Decision]]:
        """Judge the links that were told of, and tell their members what came of it.

        Workers do so within a second or two.
        """
        count = sum(len(letter.activities) for letter in letters)
        for letter in letters:
            letter.count = count
        received = self._meet(letters)
        if not any(letter.count for letter in received):
            return []
        found: list[tuple[Rank, Decision]] = []
        letters = self._letters()
        for activity in _in_order(activity for one in received for activity in one.activities):
            judgement = self._groups[self._home_of(activity.link)].observe([activity], [place])
            cause = (activity.at_s, activity.request_id, activity.link, activity.account_id)
            for n, review in enumerate(judgement.reviews):
                found.append(((place, 1, *cause, n), review))
            for n, verdict in enumerate(judgement.verdicts, len(judgement.reviews)):
                home = self._home_of(verdict.account_id)
                letters[self._share_of[home]].verdicts.append(((place, 1, *cause, n), verdict))
        verdicts = [said for letter in self._meet(letters) for said in letter.verdicts]
        for rank, verdict in sorted(verdicts, key=lambda said: said[0]):
            home = self._home_of(verdict.account_id)
            decisions = self._detectors[home].apply(verdict, Source("", home, place))
            found += ((rank, decision) for decision in decisions)
        return found


def _in_order(activities: Iterable[LinkActivity]) -> list[LinkActivity]:
    return sorted(activities, key=lambda one: (one.at_s, one.request_id, one.link, one.account_id))
