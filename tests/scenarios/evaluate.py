"""Labelled traffic through detectors, and what came of it for whom."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.request import Request
from streams.outbox import partition_of
from streams.render import moment
from streams.simulate import Label
from tests.scenarios.enforcement import Enforcement, Ruling

DAY_S = 86_400
#: Requests judged at once, as a worker takes them in.
_BATCH = 2_048
#: What honest accounts under an attack's link are counted as: those easiest to wrong.
BESIDE_ATTACKERS = "beside attackers"


class Traffic(Protocol):
    """Labelled traffic: a simulated world, or anything else that knows the truth."""

    @property
    def labels(self) -> list[Label]:
        """What is true of each account that is seen."""
        ...

    def events(self) -> Iterator[Request]:
        """Return its requests in time order."""
        ...


#: Judges a batch and says what came of it, in order.
Judge = Callable[[list[Request]], Iterable[Ruling]]


@dataclass
class Case:
    """One attacking account: when it was stopped, and how much it had by then.

    Pairs are distinct ones of others since the attack began: `taken` with nobody watching,
    `leaked` under enforcement (throttled to the limit, nothing once banned), `before_throttle`
    and `before_ban` until the first decision of the kind; a ban ends what a throttle would.
    `requests` counts those of the same time and `passed` those let through by enforcement.
    """

    label: Label
    taken: set[str]
    first_s: float | None = None
    throttled_s: float | None = None
    banned_s: float | None = None
    before_throttle: int = 0
    before_ban: int = 0
    leaked: set[str] = field(default_factory=set)
    requests: int = 0
    passed: int = 0


@dataclass
class Outcome:
    """What a detector made of so many requests.

    `days` are account days of honest accounts by kind, `throttled` and `banned` those with at
    least one such decision.
    """

    cases: list[Case]
    days: Counter[str]
    throttled: Counter[str]
    banned: Counter[str]
    decisions: list[Decision]
    requests: int


class _Theft(NamedTuple):
    """A request of an attack: the pairs of others in it, and how many there were by then."""

    request: Request
    pairs: list[str]
    taken: int


def pairwatch(config: DetectionConfig, partitions: int) -> Judge:
    """Return our detector, split over partitions as the workers split it."""
    detectors = [
        Detector(config, "evaluation", "evaluation", number, lambda _: None)
        for number in range(partitions)
    ]

    def judge(requests: list[Request]) -> list[Ruling]:
        work: list[tuple[list[Request], list[int]]] = [([], []) for _ in detectors]
        for at, request in enumerate(requests):
            mine, places = work[partition_of(request.account_id.encode(), partitions)]
            mine.append(request)
            places.append(at)
        rulings = [
            _ruling(decision)
            for detector, (mine, places) in zip(detectors, work, strict=True)
            for decision in detector.observe(mine, places).decisions
            if decision.scope == "account" and decision.action in ("throttle", "ban")
        ]
        return sorted(rulings, key=lambda ruling: ruling.at)

    return judge


def _ruling(decision: Decision) -> Ruling:
    return Ruling(
        at=decision.evidence.source.offset,
        account_id=decision.value,
        action="ban" if decision.action == "ban" else "throttle",
        issued_s=moment(decision.issued_at).timestamp(),
        until_s=moment(decision.expires_at or decision.issued_at).timestamp(),
        limit_per_minute=decision.limit_per_minute or 0.0,
        decision=decision,
    )


def foreign_pairs(request: Request) -> list[str]:
    """Return the pairs of others that a request was given."""
    if request.owner_id == request.account_id or request.action == "generate":
        return []
    return request.pair_ids if request.status < 400 else []


def evaluate(traffic: Traffic, judge: Judge) -> Outcome:
    """Run traffic through one detector."""
    return evaluate_all(traffic, {"": judge})[""]


def evaluate_all(traffic: Traffic, judges: Mapping[str, Judge]) -> dict[str, Outcome]:
    """Run traffic through several detectors in one pass."""
    labels = {label.account_id: label for label in traffic.labels}
    attacked = {label.group for label in labels.values() if not label.honest and label.group}
    who = {
        name: BESIDE_ATTACKERS if label.group in attacked else label.kind
        for name, label in labels.items()
        if label.honest
    }
    taken: dict[str, set[str]] = {name: set() for name in labels.keys() - who.keys()}
    trials = {name: _Trial(judge, labels, who, taken) for name, judge in judges.items()}
    days: set[tuple[str, int]] = set()
    requests = 0
    events = traffic.events()
    while batch := list(itertools.islice(events, _BATCH)):
        requests += len(batch)
        thefts: dict[int, _Theft] = {}
        for at, request in enumerate(batch):
            name = request.account_id
            if name in who:
                days.add((name, int(request.ts // DAY_S)))
            elif request.ts >= (labels[name].attack_start_s or 0.0):
                pairs = foreign_pairs(request)
                taken[name].update(pairs)
                thefts[at] = _Theft(request, pairs, len(taken[name]))
        for trial in trials.values():
            trial.settle(batch, thefts)
    active = Counter(who[name] for name, _ in days)
    return {name: trial.outcome(active, requests) for name, trial in trials.items()}


class _Trial:
    """One detector's way through the traffic."""

    def __init__(
        self,
        judge: Judge,
        labels: Mapping[str, Label],
        who: Mapping[str, str],
        taken: Mapping[str, set[str]],
    ) -> None:
        self._judge = judge
        self._who = who
        self._cases = {name: Case(labels[name], pairs) for name, pairs in taken.items()}
        self._enforcement: dict[str, Enforcement] = defaultdict(Enforcement)
        self._wronged: dict[str, set[tuple[str, int]]] = {"throttle": set(), "ban": set()}
        self._decisions: list[Decision] = []

    def settle(self, batch: list[Request], thefts: Mapping[int, _Theft]) -> None:
        """Judge a batch, and put each attacking request and each ruling in their order."""
        rulings: dict[int, list[Ruling]] = defaultdict(list)
        for ruling in self._judge(batch):
            rulings[ruling.at].append(ruling)
            if ruling.decision is not None:
                self._decisions.append(ruling.decision)
        for at in sorted(rulings.keys() | thefts.keys()):
            mine = rulings.get(at, ())
            if at in thefts:
                self._take(thefts[at], mine)
            for ruling in mine:
                self._follow(ruling)

    def _take(self, theft: _Theft, rulings: Sequence[Ruling]) -> None:
        request = theft.request
        name = request.account_id
        case = self._cases[name]
        if case.first_s is None:
            case.first_s = request.ts
        case.requests += 1
        if case.throttled_s is None:
            case.before_throttle = theft.taken
        if case.banned_s is None:
            case.before_ban = theft.taken
        refused = any(ruling.refuses for ruling in rulings if ruling.account_id == name)
        if not refused and self._enforcement[name].lets_through(request.ts):
            case.passed += 1
            case.leaked.update(theft.pairs)

    def _follow(self, ruling: Ruling) -> None:
        name = ruling.account_id
        case = self._cases.get(name)
        if case is None:
            self._wronged[ruling.action].add((name, int(ruling.issued_s // DAY_S)))
            return
        self._enforcement[name].follow(ruling)
        if ruling.issued_s >= (case.label.attack_start_s or 0.0):
            if case.throttled_s is None:
                case.throttled_s = ruling.issued_s
            if case.banned_s is None and ruling.action == "ban":
                case.banned_s = ruling.issued_s

    def outcome(self, days: Counter[str], requests: int) -> Outcome:
        """Return what came of it; `days` are the account days of honest accounts."""
        wronged = {
            action: Counter(self._who[name] for name, _ in some)
            for action, some in self._wronged.items()
        }
        return Outcome(
            cases=list(self._cases.values()),
            days=days,
            throttled=wronged["throttle"],
            banned=wronged["ban"],
            decisions=self._decisions,
            requests=requests,
        )
