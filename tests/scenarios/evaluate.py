"""Labelled traffic through detectors, and what came of it for whom."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from models.config import DetectionConfig
from models.decision import Decision, Source
from models.detector import Detector
from models.groups import Groups
from models.link_activity import LinkActivity
from models.links import links_of
from models.request import Request
from streams.partitions import partition_of
from streams.render import moment
from streams.simulate import Label
from tests.assembly import Assembly
from tests.scenarios.enforcement import Enforcement, Ruling

DAY_S = 86_400
#: Requests judged at once, as a worker takes them in.
_BATCH = 2_048
#: What is said of an account by another model takes at most so long to reach its partition.
_HOP_S = 60
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
    least one such decision. `group_days` are days of links with two active accounts and no
    attacker, by type of link. `dates` are the account days by date (days since 1970), and
    `wrong_dates` those throttled.
    """

    cases: list[Case]
    days: Counter[str]
    group_days: Counter[str]
    throttled: Counter[str]
    banned: Counter[str]
    decisions: list[Decision]
    requests: int
    dates: Counter[int]
    wrong_dates: Counter[int]


class _Theft(NamedTuple):
    """A request of an attack: the pairs of others in it, and how many there were by then."""

    request: Request
    pairs: list[str]
    taken: int


class Pairwatch:
    """Our detector, split over partitions as the workers split it.

    What the groups' models say of an account takes effect within a minute of event time.

    Parameters
    ----------
    config
        The operator's part.
    partitions
        Of the accounts, and of the links.
    groups
        Whether the groups' models take part, or each account is judged for itself.
    """

    def __init__(self, config: DetectionConfig, partitions: int, *, groups: bool = True) -> None:
        self._partitions = partitions
        self._detectors = [
            Detector(
                config, "evaluation", "evaluation", number, lambda _: None, partitions=partitions
            )
            for number in range(partitions)
        ]
        self._assembly = Assembly(self._detectors)
        self._groups = [
            Groups(config, "evaluation", "evaluation", number, lambda _: None)
            for number in range(partitions if groups else 0)
        ]

    def __call__(self, requests: list[Request]) -> list[Ruling]:
        """Judge a batch."""
        rulings: list[Ruling] = []
        places = itertools.groupby(range(len(requests)), key=lambda at: requests[at].ts // _HOP_S)
        for _, within in places:
            rulings += self._judge(requests, list(within))
        return sorted(rulings, key=lambda ruling: ruling.at)

    def _judge(self, requests: list[Request], places: list[int]) -> Iterator[Ruling]:
        for at in places:
            request = requests[at]
            self._assembly.add(self._partition_of(request.account_id), request, at)
        told: list[LinkActivity] = []
        for _, seen in self._assembly.run():
            told += seen.activities
            yield from (
                ruling_of(decision)
                for decision in seen.decisions
                if decision.scope == "account" and decision.action in ("throttle", "ban")
            )
        if self._groups:
            told.sort(key=lambda activity: (activity.at_s, activity.request_id, activity.link))
            yield from self._judge_groups(told, places[-1])

    def _judge_groups(self, told: list[LinkActivity], at: int) -> Iterator[Ruling]:
        """Judge the links that were told of; it takes effect after the request at a place."""
        for activity in told:
            judgement = self._groups[self._partition_of(activity.link)].observe([activity], [at])
            for verdict in judgement.verdicts:
                number = self._partition_of(verdict.account_id)
                source = Source("verdicts", number, at)
                yield from map(ruling_of, self._detectors[number].apply(verdict, source))
            yield from map(ruling_of, judgement.reviews)

    def _partition_of(self, key: str) -> int:
        return partition_of(key.encode(), self._partitions)


def ruling_of(decision: Decision) -> Ruling:
    """Return what a decision asks for; only what restricts, and reviews, are rulings."""
    assert decision.action != "release"
    return Ruling(
        at=decision.evidence.source.offset,
        account_id=decision.value,
        action=decision.action,
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
    behind = _Behind(who.keys())
    requests = 0
    events = traffic.events()
    while batch := list(itertools.islice(events, _BATCH)):
        requests += len(batch)
        thefts: dict[int, _Theft] = {}
        for at, request in enumerate(batch):
            name = request.account_id
            behind.see(request)
            if name in who:
                days.add((name, int(request.ts // DAY_S)))
            elif request.ts >= (labels[name].attack_start_s or 0.0):
                pairs = foreign_pairs(request)
                taken[name].update(pairs)
                thefts[at] = _Theft(request, pairs, len(taken[name]))
        for trial in trials.values():
            trial.settle(batch, thefts)
    active = Counter(who[name] for name, _ in days)
    group_days = behind.group_days
    dates = Counter(date for _, date in days)
    return {
        name: trial.outcome(active, dates, group_days, requests) for name, trial in trials.items()
    }


class _Behind:
    """Who is behind each link, day by day."""

    def __init__(self, honest: Collection[str]) -> None:
        self._honest = honest
        self._day = 0
        self._accounts: dict[str, set[str]] = defaultdict(set)
        self._counted: Counter[str] = Counter()

    def see(self, request: Request) -> None:
        """Take note of a request's links."""
        day = int(request.ts // DAY_S)
        if day > self._day:
            self._close()
            self._day = day
        for link in links_of(request):
            self._accounts[link].add(request.account_id)

    def _close(self) -> None:
        for link, accounts in self._accounts.items():
            if len(accounts) > 1 and all(account in self._honest for account in accounts):
                self._counted[link.partition(":")[0]] += 1
        self._accounts.clear()

    @property
    def group_days(self) -> Counter[str]:
        """Days of honest links with two active accounts, by type of link."""
        self._close()
        return self._counted


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
        if ruling.action == "review":
            return
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

    def outcome(
        self, days: Counter[str], dates: Counter[int], group_days: Counter[str], requests: int
    ) -> Outcome:
        """Return what came of it; the days are those of honest accounts, and of honest links."""
        wronged = {
            action: Counter(self._who[name] for name, _ in some)
            for action, some in self._wronged.items()
        }
        return Outcome(
            cases=list(self._cases.values()),
            days=days,
            group_days=group_days,
            throttled=wronged["throttle"],
            banned=wronged["ban"],
            decisions=self._decisions,
            requests=requests,
            dates=dates,
            wrong_dates=Counter(date for _, date in self._wronged["throttle"]),
        )
