"""Two configurations over one log: whom each would hit, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from models.decision import Decision, DecisionAction, Scope
from streams.gateway.read import BadLine, LoggedRequest
from streams.pairs import DistinctPairs
from streams.replay import Replay, Summary
from streams.settings import Settings

#: Sections that say where a worker runs; none of them changes what it decides.
_NO_MATTER = ("kafka", "state", "metrics")
_GRAVITY: dict[DecisionAction, int] = {"release": 0, "review": 1, "throttle": 2, "ban": 3}

Verdict = Literal["only-a", "only-b", "differently", "alike"]


class Hit(msgspec.Struct, frozen=True):
    """The first decision about a subject.

    `pairs` are the distinct pairs of others that an account had been given from the beginning of
    the log until then (±3 %); of a group those of the decision's evidence.
    """

    decision_id: str
    action: DecisionAction
    limit_per_minute: float | None
    scenario: str
    issued_at: str
    simulated: bool
    pairs: int


class Course(msgspec.Struct):
    """What one configuration does about one subject.

    Parameters
    ----------
    first
        The first decision.
    gravest
        The gravest action.
    decisions
        How many there are, releases included.
    trail
        A hash over all of them, to tell courses that begin alike apart; of this process only.
    """

    first: Hit
    gravest: DecisionAction
    decisions: int = 0
    trail: int = 0

    def follow(self, decision: Decision) -> None:
        """Take note of one more decision."""
        self.decisions += 1
        self.gravest = max(self.gravest, decision.action, key=_GRAVITY.__getitem__)
        said = (decision.decision_id, decision.limit_per_minute, decision.expires_at)
        self.trail = hash((self.trail, said, decision.simulated))


class Subject(NamedTuple):
    """Whom decisions are about."""

    scope: Scope
    value: str


class Outcome(NamedTuple):
    """What one configuration makes of a log."""

    summary: Summary
    courses: dict[Subject, Course]

    @property
    def accounts_hit(self) -> list[str]:
        """The accounts among those it decides about; of groups a person is asked."""
        return [subject.value for subject in self.courses if subject.scope == "account"]


class Difference(NamedTuple):
    """What becomes of one subject under each of the two; `None` where it is left alone."""

    subject: Subject
    a: Course | None
    b: Course | None

    @property
    def verdict(self) -> Verdict:
        """In which way the two differ."""
        if self.a is None:
            return "only-b"
        if self.b is None:
            return "only-a"
        return "alike" if self.a == self.b else "differently"


class Trial:
    """One configuration on trial: replays a log and notes who is hit, when, and with how much.

    Beside what a replay keeps of each account (up to 2 KB) it takes a sketch of up to 600 bytes
    for those not hit yet, and half a kilobyte for each of the others.

    Parameters
    ----------
    settings
        The configuration.
    version
        Names this code in the decisions.
    """

    def __init__(self, settings: Settings, version: str) -> None:
        self._replay = Replay(settings, version, self._note, lambda line: None)
        self._courses: dict[Subject, Course] = {}
        self._pairs: dict[str, DistinctPairs] = {}
        #: Requests that the replay has read and whose pairs are not counted yet.
        self._ahead: list[LoggedRequest] = []

    def run(
        self, log: Iterable[LoggedRequest | BadLine], after_batch: Callable[[], None]
    ) -> Outcome:
        """Judge a log from beginning to end, calling `after_batch` every few thousand lines."""

        def counted() -> None:
            self._count(len(self._ahead))
            after_batch()

        self._replay.run(self._passing(log), counted)
        return Outcome(self._replay.summary, self._courses)

    def _passing(self, log: Iterable[LoggedRequest | BadLine]) -> Iterator[LoggedRequest | BadLine]:
        for line in log:
            if isinstance(line, LoggedRequest):
                self._ahead.append(line)
            yield line

    def _count(self, lines: int) -> None:
        """Count the pairs of the next requests."""
        for line in self._ahead[:lines]:
            account_id = line.request.account_id
            if Subject("account", account_id) not in self._courses:
                if (pairs := self._pairs.get(account_id)) is None:
                    pairs = self._pairs[account_id] = DistinctPairs()
                pairs.see(line.request)
        del self._ahead[:lines]

    def _lines_until(self, decision: Decision) -> int:
        """Return how many requests ahead end with the one that tipped a decision."""
        place = (decision.evidence.source.topic, decision.evidence.source.offset)
        for number, line in enumerate(self._ahead, start=1):
            if (line.path, line.line) == place:
                return number
        return 0  # counted already: one request may tip the decisions about several

    def _note(self, decision: Decision) -> None:
        subject = Subject(decision.scope, decision.value)
        course = self._courses.get(subject)
        if course is None:
            self._count(self._lines_until(decision))
            counted = self._pairs.pop(decision.value, None) if decision.scope == "account" else None
            pairs = decision.evidence.distinct_pairs if counted is None else counted.count
            course = self._courses[subject] = Course(_hit(decision, pairs), decision.action)
        course.follow(decision)


def _hit(decision: Decision, pairs: int) -> Hit:
    return Hit(
        decision_id=decision.decision_id,
        action=decision.action,
        limit_per_minute=decision.limit_per_minute,
        scenario=decision.scenario,
        issued_at=decision.issued_at,
        simulated=decision.simulated,
        pairs=pairs,
    )


def differences(a: Outcome, b: Outcome) -> list[Difference]:
    """Return every subject that either hits, those hit by one only first, then as they came."""
    order: dict[Verdict, int] = {"only-a": 0, "only-b": 1, "differently": 2, "alike": 3}
    found = [
        Difference(subject, a.courses.get(subject), b.courses.get(subject))
        for subject in {**a.courses, **b.courses}
    ]
    return sorted(found, key=lambda each: (order[each.verdict], _began(each), each.subject))


def _began(difference: Difference) -> str:
    courses = (difference.a, difference.b)
    return min(course.first.issued_at for course in courses if course)


def settings_apart(a: Settings, b: Settings) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ and could change a decision, by their dotted names."""
    told_a, told_b = dict(_leaves(a)), dict(_leaves(b))
    return {
        name: (told_a.get(name), told_b.get(name))
        for name in sorted(told_a.keys() | told_b.keys())
        if told_a.get(name) != told_b.get(name)
    }


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    def walk(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, below in value.items():
                yield from walk(f"{name}.{key}", below)
        else:
            yield name, value

    for section in settings.__struct_fields__:
        if section not in _NO_MATTER:
            # Secrets all look alike here, and none of them decides anything.
            yield from walk(section, msgspec.to_builtins(getattr(settings, section), enc_hook=str))
