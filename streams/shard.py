"""One partition's models and their state on disk.

A checkpoint is a consistent cut through the partition: the rows that changed, then a marker with
the rest and the offsets up to which all of it reaches. A checkpoint that was cut short leaves
what the last whole one wrote.

Notices are promised by a cut and applied right after it (`streams.notice_queue`). New ones wait
until all is judged again that may have been judged before.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec

from models.config import DetectionConfig
from models.decision import Decision, Source
from models.detector import Detector
from models.exchange import Digest
from models.groups import Groups, Judgement
from models.link_activity import LinkActivity
from models.notices import Notice
from models.observation import Observation
from models.request import Request
from streams.codec import TS_AHEAD_MAX_S
from streams.errors import OperatorError
from streams.group import OTHER_PAST_REMEDY
from streams.marker import STATE_VERSION, Marker, read_marker
from streams.notice_queue import NoticeQueue
from streams.outbox import Row
from streams.rows import Get, Reach, TwinRows, reading
from streams.settings import Logs
from streams.transport import BATCH_RECORDS_MAX

#: Records judged beyond what is durable, at most: what a successor may have to judge again before
#: it hears of anything new. Some seconds' worth for a worker with one busy partition.
JUDGED_AHEAD_MAX = 500_000
#: Checkpoints in a row that a partition puts off at most while it catches up: four take a twelfth
#: off what an event costs, as accounts are written once for all that they did in between; ten no
#: more than 3 % beyond, and where most accounts come once they make checkpoints large for nothing.
_PUT_OFF_MAX = 3
#: Live groups in each partition: most have one member and take a kilobyte, the largest 64.
GROUPS_LIVE_MAX = 10_000
#: Of what may be live, the part that a checkpoint makes room for: what is new can't be let go of
#: before the next one, and new accounts may come by the million.
_ROOM_SHARE = 0.2
#: One account's clock may be this far ahead of everybody's; nothing is lifted early because of it.
_EXPIRY_MARGIN_S = TS_AHEAD_MAX_S
#: Begins the keys of the population's own rows.
_POPULATION = b"p"
#: What has two rows: an account's profile, what it chose, a group, what the operators said.
_PROFILE, _CHOICES, _GROUP, _STEERING = "a", "c", "g", "s"


class Checkpoint(msgspec.Struct, frozen=True):
    """What must become durable, rows first, then the marker.

    Parameters
    ----------
    reach
        The next request and link activity to judge, and the next notice to apply.
    notices_due
        Up to which notices are applied once this is durable.
    resume
        Where to read on, log by log: of the notices' some are needed again.
    lifts
        Whether there are subjects to which nothing applies any more, as soon as this is durable,
        and to which nobody can have applied anything since.
    """

    reach: Reach
    notices_due: int
    resume: Reach
    rows: list[Row]
    marker: Row
    lifts: bool


class Shard:
    """The state of one partition between its logs and its table.

    Parameters
    ----------
    config, version
        As the detector takes them.
    logs
        The topics.
    partition, partitions
        Which of how many.
    get
        Reads a row of this partition's table.
    log_ends
        Returns the offset after the last record of each log, as of any time since this worker was
        given the partition; `None` while they aren't known.

    Raises
    ------
    OperatorError
        The state was written by another version.
    """

    def __init__(
        self,
        config: DetectionConfig,
        version: str,
        logs: Logs,
        partition: int,
        partitions: int,
        get: Get,
        log_ends: Callable[[], Reach | None],
    ) -> None:
        marker = read_marker(get)
        if marker and marker.source != logs.requests:
            raise OperatorError(
                f"the state of the accounts is of requests from {marker.source}, and these "
                f"settings read them from {logs.requests}: {OTHER_PAST_REMEDY}"
            )
        #: The next request and link activity to judge, and the next notice to apply, as is durable.
        self.durable = marker.reach if marker else (0, 0, 0)
        self.offset, self.activity = self.durable[:2]
        self._rows = TwinRows(get, lambda: self.durable)
        self.detector = Detector(
            config,
            version,
            logs.requests,
            partition,
            lambda account_id: self._rows.load(_PROFILE, account_id),
            lambda account_id: self._rows.load(_CHOICES, account_id),
            partitions,
        )
        self.groups = Groups(
            config,
            version,
            logs.link_activity,
            partition,
            lambda link: self._rows.load(_GROUP, link),
            self.detector.docket.steering,
        )
        self.partition = partition
        self._source, self._notices_topic = logs.requests, logs.notices
        self._log_ends = log_ends
        #: Up to which records may have been judged, and notices read, by whoever had the partition
        #: before.
        self._done_before: Reach = (
            self.offset + JUDGED_AHEAD_MAX,
            self.activity + JUDGED_AHEAD_MAX,
            sys.maxsize,
        )
        #: Whether the next request waits for what other partitions have learned.
        self._lacks = False
        resume = marker.resume if marker else 0
        due = marker.notices_due if marker else 0
        self._notices = NoticeQueue(self.detector.exchange, self.durable[2], due, resume)
        #: Where a successor would read on in the notices' log.
        self._resume = resume
        #: Notices applied so far by this worker, without what other partitions say.
        self.applied = 0
        #: Checkpoints that were put off since the last one, and where it was asked for one last.
        self._put_off, self._asked_at = 0, self.offset
        #: Set when notices have come or are applied; whoever waits for some clears it first.
        self.arrived = asyncio.Event()
        #: Whether a batch is being judged, or waits for other partitions.
        self.is_busy = False
        self._at_rest: tuple[int, int | None] = (0, None)
        self._at_rest_s, self._is_idle = 0.0, False
        #: The latest event time judged (Unix seconds); 0 before the first.
        self.watermark_s = marker.watermark_s if marker else 0.0
        if marker:
            with reading(f"the state of partition {partition}"):
                self.detector.restore(
                    marker.population,
                    lambda key: get(_POPULATION + key),
                    marker.docket,
                    marker.exchange,
                    self._rows.load(_STEERING),
                )
                self.groups.restore(marker.groups)

    def judge(self, requests: Sequence[Request], offsets: Sequence[int], end: int) -> Observation:
        """Judge requests, as many as can be judged now.

        Parameters
        ----------
        requests, offsets
            In the order of the log.
        end
            The offset after them all.
        """
        seen = self.detector.observe(requests, offsets)
        self._lacks = bool(seen.lacking)
        reached = offsets[seen.taken] if seen.taken < len(requests) else end
        self.offset = max(self.offset, reached)
        self.watermark_s = max(self.watermark_s, seen.latest_s)
        return seen

    def judge_links(
        self, activities: Sequence[LinkActivity], offsets: Sequence[int], end: int
    ) -> Judgement:
        """Judge what accounts that share a link have done; `end` is the offset after them all."""
        judgement = self.groups.observe(activities, offsets)
        self.activity = max(self.activity, end)
        for review in judgement.reviews:
            self.detector.docket.hold(review)
        return judgement

    def receive(self, notices: Iterable[tuple[int, Notice | Digest]], next_offset: int) -> None:
        """Take in notices; the parameters are those of `NoticeQueue.receive`."""
        self._notices.receive(notices, next_offset)
        self.arrived.set()

    def falls_idle(self, log_end: int | None, now_s: float, after_s: float) -> bool:
        """Whether nothing has been added to the log for some time; said once each time.

        Parameters
        ----------
        log_end
            The offset after its last record, `None` if that isn't known.
        now_s, after_s
            Seconds of a clock, and of silence.
        """
        if log_end is None or self.is_busy or (self.offset, log_end) != self._at_rest:
            self._at_rest = self.offset, log_end
            self._at_rest_s, self._is_idle = now_s, False
            return False
        if self._is_idle or now_s - self._at_rest_s < after_s:
            return False
        self._is_idle = True
        return True

    @property
    def full_per_minute(self) -> int:
        """Requests of one account in a minute that are judged in full; 0 is all of them."""
        return self.detector.docket.steering.full_per_minute

    @property
    def waiting(self) -> int:
        """Notices that wait for the next cut."""
        return len(self._notices)

    @property
    def ahead(self) -> int:
        """Offsets judged beyond what is durable, with a whole batch to come."""
        offset, activity, _ = self.durable
        return max(self.offset - offset, self.activity - activity) + BATCH_RECORDS_MAX

    @property
    def reach(self) -> Reach:
        """How far the state has come in each log."""
        return self.offset, self.activity, self._notices.done

    @property
    def resume(self) -> Reach:
        """Where a successor would read on in each log."""
        return self.durable[0], self.durable[1], self._resume

    @property
    def notices_done(self) -> int:
        """Up to which notices nothing is left to do, as far as is durable.

        What partitions have told each other waits for the first request of its hour, which in a
        quiet night is far off: a successor reads it again, but nobody waits for it.
        """
        if self.reach != self.durable:
            return self._resume
        return self._notices.first

    @property
    def owes_notices(self) -> bool:
        """Whether notices must be applied before the next record.

        After a restart they are those that the last checkpoint promised.
        """
        return self._notices.is_owed

    @property
    def missing_notices(self) -> str:
        """Those that are owed and have not been read yet, in words; empty if there are none."""
        read, due = self._notices.read, self._notices.due
        return f"{self._notices_topic}[{self.partition}] {read}–{due - 1}" if read < due else ""

    def apply_notices(self) -> list[Decision]:
        """Apply the notices that are owed, and return the decisions that follow."""
        decisions: list[Decision] = []
        for offset, notice in self._notices.take_owed():
            self.applied += 1
            source = Source(self._notices_topic, self.partition, offset)
            docket = self.detector.docket
            is_new = not docket.steering.has_heard(notice.id)
            decisions += self.detector.apply(notice, source)
            if not is_new:  # or it would answer what was asked since
                continue
            for answer in self.groups.hear(notice, source, docket.in_force.of("group")):
                docket.hold(answer)
                decisions.append(answer)
        self.arrived.set()  # somebody may not need to be waited for any more
        return decisions

    def expire(self) -> list[str]:
        """Return the keys whose decision has run out, each once.

        Goes by the event time of this partition, so that the same log gives the same ends: in a
        partition without traffic a decision stands for longer than it holds.
        """
        return self.detector.docket.in_force.take_ended(self.watermark_s - _EXPIRY_MARGIN_S)

    def take_lifted(self) -> list[str]:
        """Return the keys whose decision was lifted, once it is durable that it was; each once."""
        return self.detector.docket.in_force.take_lifted()

    def puts_off(self, accounts_max: int, coming: int = 0) -> bool:
        """Whether to judge on instead of cutting a checkpoint now; some times in a row at most.

        So it is where more requests wait (or are `coming` from the log that isn't keyed) than were
        judged since this was asked last, and nothing else waits for it: who catches up is done the
        sooner.
        """
        ends, judged = self._log_ends(), self.offset - self._asked_at
        behind = ends[0] - self.offset + coming if ends is not None else 0
        self._put_off, self._asked_at = self._put_off + 1, self.offset
        return (
            self._put_off <= _PUT_OFF_MAX
            and 0 < judged < behind
            and self.has_room(accounts_max)
            and self.ahead < JUDGED_AHEAD_MAX // 2
            and self.detector.live_accounts < (_kept_of(accounts_max) + accounts_max) // 2
            and self.groups.live_groups < (_kept_of(GROUPS_LIVE_MAX) + GROUPS_LIVE_MAX) // 2
            and not self.owes_notices
            and self._news == (self._notices.due, False)
        )

    def begin_checkpoint(self) -> Checkpoint | None:
        """Encode what changed since the last one; `None` if nothing did and nothing is due."""
        self._put_off = 0
        due, lifts = self._news
        is_news = (self.reach, due) != (self.durable, self._notices.due)
        if self.owes_notices or not (is_news or lifts):
            return None
        self._notices.due, resume = due, self._notices.resume
        snapshot, links = self.detector.snapshot(), self.groups.snapshot()
        said = {} if snapshot.steering is None else {"": snapshot.steering}
        kinds = (
            (_PROFILE, snapshot.profiles),
            (_CHOICES, snapshot.choices),
            (_GROUP, links.groups),
            (_STEERING, said),
        )
        rows = [Row(_POPULATION + key, value) for key, value in snapshot.rows.items()]
        for kind, named in kinds:
            rows += self._rows.write(kind, named, self.reach)
        marker = Marker(
            STATE_VERSION,
            self.reach,
            due,
            resume,
            self.watermark_s,
            snapshot.population,
            snapshot.docket,
            snapshot.exchange,
            links.level,
            self._source,
        )
        return Checkpoint(
            self.reach,
            due,
            (self.offset, self.activity, resume),
            rows,
            marker.row(),
            lifts,
        )

    @property
    def _news(self) -> tuple[int, bool]:
        """Up to which notices a cut may promise now, and whether it lifts decisions."""
        lifts = bool(self.detector.docket.in_force.lifted)
        if (self._notices or lifts) and self._hears_news:
            return self._notices.promise(), lifts
        return self._notices.due, False

    @property
    def _hears_news(self) -> bool:
        """Whether everything is judged again that may have been judged, and published, before."""
        # Asked again, as a log's end is found out to be a gap once all before it has been read.
        before = self._log_ends() or self._done_before
        requests, activity, notices = map(min, self._done_before, before)
        self._done_before = requests, activity, notices
        # Who lacks what others have learned, though all is read that was said before, did then.
        all_again = self.offset >= requests or (self._lacks and self._notices.read >= notices)
        return all_again and self.activity >= activity

    def end_checkpoint(self, checkpoint: Checkpoint, accounts_max: int) -> None:
        """Take note that a checkpoint is durable, and make room; see `has_room`."""
        self.durable, self._resume = checkpoint.reach, checkpoint.resume[2]
        self.make_room(accounts_max)

    def make_room(self, accounts_max: int) -> None:
        """Let go of accounts and groups that have been idle longest and are durable."""
        gone = self.detector.trim(_kept_of(accounts_max))
        self._rows.forget(_PROFILE, gone)
        self._rows.forget(_CHOICES, gone)
        self._rows.forget(_GROUP, self.groups.trim(_kept_of(GROUPS_LIVE_MAX)))

    def has_room(self, accounts_max: int) -> bool:
        """Whether a batch of nothing but new accounts fits in before the next checkpoint.

        Parameters
        ----------
        accounts_max
            Live ones at most. Where that is less than a batch, one fits in at a time.
        """
        return (
            self.ahead < JUDGED_AHEAD_MAX
            and self.detector.live_accounts <= max(accounts_max - BATCH_RECORDS_MAX, 0)
            and self.groups.live_groups <= GROUPS_LIVE_MAX - BATCH_RECORDS_MAX
        )


def _kept_of(live_max: int) -> int:
    """Return how many a checkpoint leaves live, so that there is room until the next one."""
    return max(live_max - max(int(live_max * _ROOM_SHARE), BATCH_RECORDS_MAX), 0)
