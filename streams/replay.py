"""The detector over a log in files: the same judgement as the workers', in event time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import msgspec

from models.decision import Decision, Source
from models.share import Stretch, Work
from streams.crew import Crew
from streams.gateway.read import BadLine, LoggedRequest
from streams.judges import Judges, Outcome, Setup
from streams.partitions import partition_of
from streams.settings import Settings

#: Requests judged at a time: enough to spread the work for a batch, and so few that what they hold
#: is still in the core's cache when it is judged and freed.
_BATCH_REQUESTS = 512
#: The same where they go to other processes, which costs more, and those of one stretch at most.
_BATCH_REQUESTS_MAX = 4_096
#: How often it is shown how far reading has got, also where no line is a request.
_PROGRESS_LINES = 4_096
#: What is found out about groups takes effect within this much event time.
_HOP_S = 60.0

_encode = msgspec.msgpack.Encoder().encode
_decode_decision = msgspec.msgpack.Decoder(Decision).decode


class Summary(msgspec.Struct):
    """What a replay came to.

    `events` were read as requests; each was judged, or was a `duplicate` or `late`. Of those
    judged the `excess` of banned accounts was only counted.
    """

    events: int = 0
    judged: int = 0
    excess: int = 0
    duplicate: int = 0
    late: int = 0
    accounts: int = 0
    bad_lines: dict[str, int] = {}
    decisions: dict[str, int] = {}
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Return it for a program to read."""
        return {**msgspec.structs.asdict(self), "lines": self.lines}

    @property
    def lines(self) -> int:
        """Requests and bad lines together."""
        return self.events + sum(self.bad_lines.values())


class Replay:
    """Judges requests in the order given, split over partitions as the workers split them.

    A context manager where there are several processes: leaving it ends them.

    Parameters
    ----------
    settings
        As a worker reads them; what concerns Kafka is not used.
    version
        Names this code in the decisions.
    on_decision, on_bad_line
        Called with each, in the order of the log.
    jobs
        Processes that judge, beside this one if they are more than one; it changes no decision.
    """

    def __init__(
        self,
        settings: Settings,
        version: str,
        on_decision: Callable[[Decision], None],
        on_bad_line: Callable[[BadLine], None],
        jobs: int = 1,
    ) -> None:
        self.summary = Summary()
        self._on_decision = on_decision
        self._on_bad_line = on_bad_line
        topics = settings.topics
        self._partitions = topics.partitions
        setup = Setup(
            settings.detection(),
            version,
            topics.accounts_source,
            topics.link_activity,
            topics.partitions,
            settings.state.accounts_in_memory_max,
        )
        self._crew = Crew(setup, jobs) if min(jobs, topics.partitions) > 1 else None
        self._judges = None if self._crew else Judges(setup, [0] * topics.partitions, 0)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._crew:
            self._crew.close()

    def run(self, log: Iterable[LoggedRequest | BadLine], progress: Callable[[], None]) -> None:
        """Judge a log from beginning to end, calling `progress` every few thousand lines."""
        given: list[LoggedRequest] = []
        size = _BATCH_REQUESTS_MAX if self._crew else _BATCH_REQUESTS
        for minutes in _batches(self._minutes(log, progress), size):
            requests = [line for minute in minutes for line in minute]
            stretches = list(self._stretches(minutes))
            if self._judges:
                self._note([self._judges.judge(stretches)], requests)
            elif self._crew:
                # They judge a batch while the next is read.
                if given:
                    self._note(self._crew.take(), given)
                self._crew.give(stretches)
                given = requests
        if self._crew and given:
            self._note(self._crew.take(), given)
        progress()

    def _minutes(
        self, log: Iterable[LoggedRequest | BadLine], progress: Callable[[], None]
    ) -> Iterator[list[LoggedRequest]]:
        """Return the requests of each minute together, and say which lines are none."""
        requests: list[LoggedRequest] = []
        ends_s = -math.inf
        for number, line in enumerate(log):
            if number % _PROGRESS_LINES == 0:
                progress()
            if isinstance(line, BadLine):
                counts = self.summary.bad_lines
                counts[line.reason] = counts.get(line.reason, 0) + 1
                self._on_bad_line(line)
                continue
            ts = line.request.ts
            if not ends_s - _HOP_S <= ts < ends_s or len(requests) == _BATCH_REQUESTS_MAX:
                if requests:
                    yield requests
                requests, ends_s = [], (ts // _HOP_S + 1) * _HOP_S
            requests.append(line)
        if requests:
            yield requests

    def _stretches(self, minutes: Iterable[list[LoggedRequest]]) -> Iterator[Stretch]:
        count = 0
        for minute in minutes:
            works: dict[int, Work] = {}
            for at, line in enumerate(minute, count):
                request = line.request
                home = partition_of(request.account_id.encode(), self._partitions)
                work = works.get(home)
                if work is None:
                    work = works[home] = Work(home, [], [])
                work.requests.append(request)
                work.places.append(at)
            count += len(minute)
            yield Stretch(minute[0].request.ts, count - 1, list(works), list(works.values()))

    def _note(self, outcomes: list[Outcome], lines: list[LoggedRequest]) -> None:
        summary = self.summary
        summary.events += len(lines)
        summary.accounts = sum(outcome.accounts for outcome in outcomes)
        for outcome in outcomes:
            summary.judged += outcome.judged
            summary.excess += outcome.excess
            summary.duplicate += outcome.duplicate
            summary.late += outcome.late
        decisions = [ranked for outcome in outcomes for ranked in outcome.decisions]
        for _, decision in sorted(decisions, key=lambda ranked: ranked[0]):
            self._tell(decision, lines[decision.evidence.source.offset])

    def _tell(self, decision: Decision, line: LoggedRequest) -> None:
        """Give a decision out with the file and line in the place of Kafka's coordinates."""
        source = Source(line.path, decision.evidence.source.partition, line.line)
        # Through the wire's form as in the workers: there 5 and 5.0 are the same number.
        decision = _decode_decision(_encode(decision))
        evidence = msgspec.structs.replace(decision.evidence, source=source)
        what = f"{decision.scenario} {decision.action}"
        self.summary.decisions[what] = self.summary.decisions.get(what, 0) + 1
        self._on_decision(msgspec.structs.replace(decision, evidence=evidence))


def _batches(
    minutes: Iterable[list[LoggedRequest]], size: int
) -> Iterator[list[list[LoggedRequest]]]:
    """Put minutes together until they have so many requests."""
    batch: list[list[LoggedRequest]] = []
    count = 0
    for minute in minutes:
        batch.append(minute)
        count += len(minute)
        if count >= size:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch
