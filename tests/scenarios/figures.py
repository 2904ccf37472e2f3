"""What is kept of a run: plain figures, as `--json` writes them."""

from __future__ import annotations

import msgspec

from models.decision import Decision
from streams.render import moment
from streams.simulate import World
from streams.simulate.mix import CATALOGUE_SIZE
from tests.scenarios.evaluate import DAY_S, Case, Outcome

#: Ours, and ours with each account judged for itself.
OURS, BY_ITSELF = "pairwatch", "by itself"
BUCKET, WINDOW, PAIRS, TREES = "bucket", "window", "pairs", "trees"
#: A case that keeps more than this of its loot under enforcement is told as late.
LATE_SHARE = 0.1


class Thresholds(msgspec.Struct, frozen=True):
    """What the tuned baselines were tuned to: pairs a day, and a score of 0–1."""

    pairs: float
    trees: float


class Spec(msgspec.Struct, frozen=True):
    """A world to be judged; `intensity` multiplies what its attacks do."""

    name: str
    seed: int
    accounts: int
    days: float
    attacks: tuple[str, ...]
    intensity: float = 1.0
    catalogue_size: int = CATALOGUE_SIZE


class CaseFigures(msgspec.Struct, frozen=True):
    """A `Case` in figures: seconds count from the attack's first request.

    `in_group` says whether it was named as a member of a group.
    """

    attack: str
    account_id: str
    kind: str
    throttled_after_s: float | None
    banned_after_s: float | None
    taken: int
    before_throttle: int
    before_ban: int
    leaked: int
    requests: int
    passed: int
    active_days: float
    first_decision: str
    in_group: bool

    @property
    def kept(self) -> float:
        """The share (0–1) of its loot that enforcement leaves it; of requests without loot."""
        if self.taken:
            return self.leaked / self.taken
        return self.passed / max(self.requests, 1)

    @property
    def is_missed_or_late(self) -> bool:
        """Whether it was never stopped, or kept more than `LATE_SHARE`."""
        return self.throttled_after_s is None or self.kept > LATE_SHARE


class FalseAlarm(msgspec.Struct, frozen=True):
    """A decision against an honest account."""

    account_id: str
    kind: str
    decision: str


class Review(msgspec.Struct, frozen=True):
    """A review of a group: how many were named, and how many of them do copy."""

    group: str
    named: int
    copiers: int
    decision: str

    @property
    def is_false(self) -> bool:
        """Whether those named are mostly honest."""
        return 2 * self.copiers < self.named


class Figures(msgspec.Struct, frozen=True):
    """An `Outcome` in figures.

    `drawn_in` are the honest accounts that had a decision as members of a group. `by_day` has for
    each day of the run the account-days of honest accounts, and those with a throttle.
    """

    cases: list[CaseFigures]
    days: dict[str, int]
    throttled: dict[str, int]
    banned: dict[str, int]
    false_alarms: list[FalseAlarm]
    group_days: dict[str, int]
    reviews: list[Review]
    drawn_in: list[str]
    by_day: list[tuple[int, int]]


class Result(msgspec.Struct, frozen=True):
    """What became of a world, detector by detector."""

    spec: Spec
    requests: int
    catalogue_size: int
    figures: dict[str, Figures]


class Run(msgspec.Struct, frozen=True):
    """Everything measured, and with which settings.

    `tuning_pairs` are the pairs of others on each account day of the tuning worlds, ascending.
    `small` are worlds of small services, which are told of by themselves.
    """

    seeds: list[int]
    tuning_seeds: list[int]
    accounts: int
    days: float
    partitions: int
    thresholds: Thresholds
    tuning_pairs: list[int]
    results: list[Result]
    small: list[Result] = []

    def cases(self, detector: str, attack: str) -> list[CaseFigures]:
        """Return all cases of an attack, as a detector met them."""
        return [
            case
            for result in self.results
            if detector in result.figures
            for case in result.figures[detector].cases
            if case.attack == attack
        ]


def figures_of(world: World, outcome: Outcome) -> Figures:
    """Return what a detector did to a world in figures."""
    by_account: dict[str, list[Decision]] = {}
    for decision in outcome.decisions:
        by_account.setdefault(decision.value, []).append(decision)
    reviews = [decision for decision in outcome.decisions if decision.action == "review"]
    named = {
        decision.value
        for decision in outcome.decisions
        if decision.scenario == "coordinated-sweep" and decision.scope == "account"
    }.union(*(review.evidence.linked_accounts for review in reviews))
    honest = {label.account_id for label in world.labels if label.honest}
    return Figures(
        cases=[
            _case(
                case,
                by_account.get(case.label.account_id, []),
                in_group=case.label.account_id in named,
            )
            for case in outcome.cases
        ],
        days=outcome.days,
        throttled=outcome.throttled,
        banned=outcome.banned,
        false_alarms=[
            FalseAlarm(label.account_id, label.kind, in_words(decision))
            for label in world.labels
            if label.honest
            for decision in by_account.get(label.account_id, [])
        ],
        group_days=outcome.group_days,
        reviews=[
            Review(
                review.value,
                len(review.evidence.linked_accounts),
                len(set(review.evidence.linked_accounts) - honest),
                in_words(review),
            )
            for review in reviews
        ],
        drawn_in=sorted(named & honest),
        by_day=[(outcome.dates[date], outcome.wrong_dates[date]) for date in sorted(outcome.dates)],
    )


def _case(case: Case, decisions: list[Decision], *, in_group: bool) -> CaseFigures:
    label = case.label
    first_s = case.first_s or 0.0
    stopped = [
        decision
        for decision in decisions
        if moment(decision.issued_at).timestamp() >= (label.attack_start_s or 0.0)
    ]
    return CaseFigures(
        attack=label.attack or "",
        account_id=label.account_id,
        kind=label.kind,
        throttled_after_s=None if case.throttled_s is None else case.throttled_s - first_s,
        banned_after_s=None if case.banned_s is None else case.banned_s - first_s,
        taken=len(case.taken),
        before_throttle=case.before_throttle,
        before_ban=case.before_ban,
        leaked=len(case.leaked),
        requests=case.requests,
        passed=case.passed,
        active_days=max(((label.attack_end_s or first_s) - first_s) / DAY_S, 1.0),
        first_decision=in_words(stopped[0]) if stopped else "",
        in_group=in_group,
    )


def in_words(decision: Decision) -> str:
    """Return a decision and its three strongest reasons in one line."""
    reasons = "; ".join(
        f"{reason.signal} {reason.observed:g}{' %' if reason.unit == '%' else ''} "
        f"(usual {reason.expected:g})"
        for reason in decision.reasons[:3]
    )
    return f"{decision.issued_at} {decision.action} {decision.scenario}: {reasons}"
