"""Labelled traffic through a detector, and what came of it for whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.request import Request
from streams.outbox import partition_of
from streams.simulate import Label, World

DAY_S = 86_400
_BATCH = 2_048

#: Judges a batch and says which decisions came of it, in order.
Judge = Callable[[list[Request]], Iterable[Decision]]


@dataclass
class Case:
    """One attacking account: when it was stopped, and how much it had by then.

    `pairs` counts distinct pairs of others since the attack began: until the first throttle,
    until the first ban, under enforcement (throttled to the limit, nothing once banned), and
    with nobody watching.
    """

    label: Label
    first_s: float | None = None
    throttled_s: float | None = None
    banned_s: float | None = None
    taken: set[str] = field(default_factory=set)
    before_throttle: int = 0
    before_ban: int = 0
    leaked: set[str] = field(default_factory=set)


@dataclass
class Outcome:
    """What a detector did to a world.

    `days` are account days of honest accounts by kind, `throttled` and `banned` those with at
    least one such decision.
    """

    cases: list[Case]
    days: dict[str, int]
    throttled: dict[str, int]
    banned: dict[str, int]
    decisions: list[Decision]


def pairwatch(config: DetectionConfig, partitions: int) -> Judge:
    """Return our detector, split over partitions as the workers split it."""
    detectors = [
        Detector(config, "evaluation", "evaluation", number, lambda _: None)
        for number in range(partitions)
    ]

    def judge(requests: list[Request]) -> list[Decision]:
        work: list[tuple[list[Request], list[int]]] = [([], []) for _ in detectors]
        for at, request in enumerate(requests):
            mine, places = work[partition_of(request.account_id.encode(), partitions)]
            mine.append(request)
            places.append(at)
        decisions = [
            decision
            for detector, (mine, places) in zip(detectors, work, strict=True)
            for decision in detector.observe(mine, places).decisions
        ]
        return sorted(decisions, key=lambda decision: decision.evidence.source.offset)

    return judge


def evaluate(world: World, judge: Judge) -> Outcome:
    """Run a world through a detector."""
    labels = {label.account_id: label for label in world.labels}
    cases = {name: Case(label) for name, label in labels.items() if not label.honest}
    days: dict[str, set[tuple[str, int]]] = defaultdict(set)
    hit: dict[str, dict[str, set[tuple[str, int]]]] = {
        "throttle": defaultdict(set),
        "ban": defaultdict(set),
    }
    enforcement: dict[str, _Enforcement] = defaultdict(_Enforcement)
    everything: list[Decision] = []
    batch: list[Request] = []

    def settle() -> None:
        decisions = list(judge(batch))
        everything.extend(decisions)
        due = iter(decisions)
        decision = next(due, None)
        for at, request in enumerate(batch):
            name = request.account_id
            case = cases.get(name)
            if case is None:
                days[labels[name].kind].add((name, int(request.ts // DAY_S)))
            elif request.ts >= (case.label.attack_start_s or 0.0):
                _take(case, request, enforcement[name])
            while decision is not None and decision.evidence.source.offset == at:
                issued_s = datetime.fromisoformat(decision.issued_at).timestamp()
                if case is None:
                    kind = labels[name].kind
                    hit[decision.action][kind].add((name, int(issued_s // DAY_S)))
                else:
                    enforcement[name].take(decision, issued_s)
                    if issued_s >= (case.label.attack_start_s or 0.0):
                        _stop(case, decision, issued_s)
                decision = next(due, None)
        batch.clear()

    for request in world.events():
        batch.append(request)
        if len(batch) == _BATCH:
            settle()
    settle()
    for case in cases.values():
        if case.throttled_s is None:
            case.before_throttle = len(case.taken)
        if case.banned_s is None:
            case.before_ban = len(case.taken)
    return Outcome(
        cases=list(cases.values()),
        days={kind: len(some) for kind, some in days.items()},
        throttled={kind: len(some) for kind, some in hit["throttle"].items()},
        banned={kind: len(some) for kind, some in hit["ban"].items()},
        decisions=everything,
    )


class _Enforcement:
    """What a gateway would let through: a token bucket of one minute, nothing while banned."""

    def __init__(self) -> None:
        self._limit: float | None = None
        self._banned_until_s = self._limited_until_s = 0.0
        self._tokens = 0.0
        self._at_s = 0.0

    def take(self, decision: Decision, issued_s: float) -> None:
        until_s = datetime.fromisoformat(decision.expires_at or decision.issued_at).timestamp()
        if decision.action == "ban":
            self._banned_until_s = until_s
        elif decision.action == "throttle":
            self._limit, self._limited_until_s = decision.limit_per_minute or 0.0, until_s
            self._tokens, self._at_s = min(self._limit, 1.0), issued_s

    def lets_through(self, now_s: float) -> bool:
        if now_s < self._banned_until_s:
            return False
        if self._limit is None or now_s >= self._limited_until_s:
            return True
        self._tokens = min(
            self._tokens + (now_s - self._at_s) * self._limit / 60, max(self._limit, 1.0)
        )
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _take(case: Case, request: Request, enforcement: _Enforcement) -> None:
    if case.first_s is None:
        case.first_s = request.ts
    through = enforcement.lets_through(request.ts)
    if request.owner_id == request.account_id or request.action == "generate":
        return
    if request.status < 400:
        case.taken.update(request.pair_ids)
        if through:
            case.leaked.update(request.pair_ids)


def _stop(case: Case, decision: Decision, issued_s: float) -> None:
    if case.throttled_s is None:
        case.throttled_s = issued_s
        case.before_throttle = len(case.taken)
    if case.banned_s is None and decision.action == "ban":
        case.banned_s = issued_s
        case.before_ban = len(case.taken)
