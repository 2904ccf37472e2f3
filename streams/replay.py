"""The detector over a log in files: the same judgement as the workers', in event time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from models.assembly import Assembly
from models.decision import Decision, Source
from models.detector import Detector
from models.groups import Groups
from streams.gateway.read import BadLine, LoggedRequest
from streams.outbox import partition_of
from streams.settings import Settings

#: Lines judged at a time: enough to spread the work for a batch, little to hold in memory.
_BATCH_LINES = 4_096
#: What is found out about groups takes effect within this much event time.
_HOP_S = 60.0
#: Live profiles of all partitions; the rest are kept encoded.
_ACCOUNTS_LIVE_MAX = 50_000


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

    Parameters
    ----------
    settings
        As a worker reads them; what concerns Kafka is not used.
    version
        Names this code in the decisions.
    on_decision, on_bad_line
        Called with each, in the order of the log.
    """

    def __init__(
        self,
        settings: Settings,
        version: str,
        on_decision: Callable[[Decision], None],
        on_bad_line: Callable[[BadLine], None],
    ) -> None:
        self.summary = Summary()
        self._on_decision = on_decision
        self._on_bad_line = on_bad_line
        self._partitions = settings.topics.partitions
        self._idle = [_Idle({}, {}) for _ in range(self._partitions)]
        self._detectors = [
            Detector(
                settings.detection(),
                version,
                settings.topics.accounts_source,
                number,
                idle.profiles.get,
                idle.choices.get,
                self._partitions,
            )
            for number, idle in enumerate(self._idle)
        ]
        links = settings.topics.link_activity
        groups = [
            Groups(settings.detection(), version, links, number, lambda _: None)
            for number in range(self._partitions)
        ]
        self._assembly = Assembly(self._detectors, groups, self._home_of)
        self._accounts: set[str] = set()

    def run(self, log: Iterable[LoggedRequest | BadLine], after_batch: Callable[[], None]) -> None:
        """Judge a log from beginning to end, calling `after_batch` every few thousand lines."""
        for lines in _batches(log):
            requests = [line for line in lines if isinstance(line, LoggedRequest)]
            for line in lines:
                if isinstance(line, BadLine):
                    counts = self.summary.bad_lines
                    counts[line.reason] = counts.get(line.reason, 0) + 1
                    self._on_bad_line(line)
            self._judge(requests)
            after_batch()
        self.summary.accounts = len(self._accounts)

    def _judge(self, lines: list[LoggedRequest]) -> None:
        decisions: list[Decision] = []
        summary = self.summary
        summary.events += len(lines)
        places = range(len(lines))
        for _, minute in itertools.groupby(places, lambda at: lines[at].request.ts // _HOP_S):
            for at in minute:
                request = lines[at].request
                self._accounts.add(request.account_id)
                self._assembly.add(self._home_of(request.account_id), request, at)
            for number, seen in self._assembly.run():
                summary.judged += seen.judged
                summary.excess += seen.excess
                summary.duplicate += seen.duplicate
                summary.late += seen.late
                decisions += seen.decisions
                self._let_idle(number)
            decisions += self._assembly.settle(at)
        decisions.sort(key=lambda decision: decision.evidence.source.offset)
        for decision in decisions:
            self._tell(decision, lines[decision.evidence.source.offset])

    def _home_of(self, key: str) -> int:
        return partition_of(key.encode(), self._partitions)

    def _let_idle(self, number: int) -> None:
        detector = self._detectors[number]
        live_max = max(_ACCOUNTS_LIVE_MAX // self._partitions, 1)
        # Twice the number, so that encoding is paid for once in a while and not every time.
        if detector.live_accounts > 2 * live_max:
            snapshot = detector.snapshot()
            self._idle[number].profiles.update(snapshot.profiles)
            self._idle[number].choices.update(snapshot.choices)
            detector.trim(live_max)

    def _tell(self, decision: Decision, line: LoggedRequest) -> None:
        """Give a decision out with the file and line in the place of Kafka's coordinates."""
        source = Source(line.path, decision.evidence.source.partition, line.line)
        evidence = msgspec.structs.replace(decision.evidence, source=source)
        what = f"{decision.scenario} {decision.action}"
        self.summary.decisions[what] = self.summary.decisions.get(what, 0) + 1
        self._on_decision(msgspec.structs.replace(decision, evidence=evidence))


class _Idle(NamedTuple):
    profiles: dict[str, bytes]
    choices: dict[str, bytes]


def _batches(
    log: Iterable[LoggedRequest | BadLine],
) -> Iterator[list[LoggedRequest | BadLine]]:
    lines = iter(log)
    while batch := list(itertools.islice(lines, _BATCH_LINES)):
        yield batch
