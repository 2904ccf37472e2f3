"""Groups, their members and what people say of them: over any history at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.config import DetectionConfig
from models.decision import Decision, rfc3339
from models.link_activity import LinkActivity
from models.notices import (
    Allow,
    Approve,
    Confirm,
    Control,
    Notice,
    Overturn,
    Reject,
    Release,
    SetMode,
    Subject,
    seconds,
)
from models.request import Request
from streams.outbox import Row
from streams.settings import Logs
from streams.shard import Shard
from tests.contract import assert_valid_decision
from tests.models.test_groups import copiers, told_of
from tests.models.traffic import MIDNIGHT_S

LOGS = Logs("requests", "link-activity", "notices")
ORG, NETWORK = "org:x.example", "range:203.0.113.0/24"
#: Who is spoken of: a link, the network that is one, a wider range, one of the members, others.
SUBJECTS = (
    Subject("group", ORG),
    Subject("group", NETWORK),
    Subject("range", "203.0.0.0/16"),
    Subject("account", "copier_0"),
    Subject("group", "org:y.example"),
)
DAYS = 3


@cache
def log() -> list[Request | LinkActivity]:
    """Return what six do who divide the catalogue, and what is told of it, by time."""
    days = [
        [one for each in copiers(6, 50, seed=day, day=day) for one in each] for day in range(DAYS)
    ]
    requests = [
        Request(one.ts, one.request_id, one.account_id, one.action, one.pair_ids, ip="203.0.113.9")
        if one.account_id == "copier_5"  # who has no other link
        else Request(
            *(one.ts, one.request_id, one.account_id, one.action, one.pair_ids),
            ip="203.0.113.7",
            links={"org": "x.example"},
        )
        for day in days
        for one in day
    ]
    told = [each for each in told_of(requests) if each.link in (ORG, NETWORK)]
    events: list[Request | LinkActivity] = [*requests, *told]
    return sorted(events, key=lambda one: one.ts if isinstance(one, Request) else one.at_s)


class World:
    """A partition of accounts and links, and what must hold whatever it is told."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._shard = self._start()
        self._log, self._at = log(), 0
        self._requests = self._activities = 0
        self._notices: list[Notice] = []
        self.now_s = MIDNIGHT_S
        self._allowed: dict[Subject, float] = {}
        self.latest: dict[str, Decision] = {}
        self.decisions: list[Decision] = []

    def _start(self) -> Shard:
        config = DetectionConfig(mode="enforce")
        return Shard(config, "1", LOGS, 0, 1, self._rows.get, lambda: (0, 0, 0))

    def go_on(self, count: int) -> None:
        """Judge what comes next in the logs."""
        for one in self._log[self._at : self._at + count]:
            if isinstance(one, Request):
                self.now_s = one.ts
                offset, self._requests = self._requests, self._requests + 1
                self.note(self._shard.judge([one], [offset], offset + 1).decisions)
                self._assert_spared(one.account_id)
            else:
                offset, self._activities = self._activities, self._activities + 1
                judgement = self._shard.judge_links([one], [offset], offset + 1)
                self.note(judgement.reviews)
                for verdict in judgement.verdicts:
                    self.hear(verdict)
            self.end(self._shard.expire())
        self._at += count

    def hear(self, notice: Notice) -> list[Decision]:
        """Let the partition hear a notice; return the decisions that follow."""
        is_new = all(notice.id != known.id for known in self._notices)
        self._notices.append(notice)
        self._shard.receive([(len(self._notices) - 1, notice)], len(self._notices))
        self.checkpoint()
        decisions = self._shard.apply_notices()
        self.note(decisions)
        if isinstance(notice, Allow) and is_new:
            until_s = seconds(notice.expires_at)
            self._allowed[notice.subject] = until_s if until_s > notice.issued_s else 0.0
        for key in self.latest:
            self._assert_spared(key.removeprefix("account:"))
        return decisions

    def checkpoint(self) -> None:
        begun = self._shard.begin_checkpoint()
        if begun is not None:
            for row in (*begun.rows, begun.marker):
                self._write(row)
            self._shard.end_checkpoint(begun, 0)
            self._shard.take_lifted()

    def _write(self, row: Row) -> None:
        if row.value is None:
            self._rows.pop(row.key, None)
        else:
            self._rows[row.key] = row.value

    def restart(self) -> None:
        """Go on as a successor does from what was durable."""
        self.checkpoint()
        self._shard = self._start()
        self._shard.receive(list(enumerate(self._notices)), len(self._notices))
        self.note(self._shard.apply_notices())

    def is_allowed(self, account: str) -> bool:
        links = (NETWORK,) if account == "copier_5" else (ORG, NETWORK)
        subjects = (Subject("account", account), *(Subject("group", link) for link in links))
        return self._is_any_allowed(*subjects, SUBJECTS[2])

    def _is_any_allowed(self, *subjects: Subject) -> bool:
        return any(self._allowed.get(subject, 0.0) > self.now_s for subject in subjects)

    def is_link_allowed(self, link: str) -> bool:
        ranges = (SUBJECTS[2],) if link == NETWORK else ()
        return self._is_any_allowed(Subject("group", link), *ranges)

    def end(self, keys: Sequence[str]) -> None:
        for key in keys:
            decision = self.latest.pop(key)
            assert decision.expires_at is not None
            assert seconds(decision.expires_at) <= self.now_s

    def note(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            assert_valid_decision(decision)
            assert all(decision.decision_id != each.decision_id for each in self.decisions)
            key, before = decision.key, self.latest.get(decision.key)
            revisions = [each.revision for each in self.decisions if each.key == key]
            assert decision.revision == max(revisions, default=0) + 1
            self.decisions.append(decision)
            if decision.action == "release":  # ends what it names
                assert before is not None
                del self.latest[key]
                continue
            assert decision.expires_at is not None
            assert decision.expires_at > decision.issued_at
            if decision.scope == "group":
                assert decision.action == "review"
                assert not self.is_link_allowed(decision.value)
            self.latest[key] = decision
        waiting = {key.partition(":")[2] for key in self.latest if key.startswith("group:")}
        assert set(self._shard.detector.docket.in_force.of("group")) == waiting

    def _assert_spared(self, account: str) -> None:
        """Whom people want left alone has nothing in force, nor has a link a review."""
        held = self.latest.get(f"account:{account}")
        if held is not None and held.expires_at is not None and not held.simulated:
            holds = seconds(held.issued_at) <= self.now_s < seconds(held.expires_at)
            assert not (holds and self.is_allowed(account))
        for link in (ORG, NETWORK):
            assert f"group:{link}" not in self.latest or not self.is_link_allowed(link)


Step = tuple[str, Any]


def said(world: World, number: int, kind: str, which: int, hours: float, action: str) -> Control:
    """Return what an operator says now."""
    told: dict[str, Any] = {
        "id": f"n{number}",
        "by": "mira",
        "why": "a test",
        "issued_at": rfc3339(world.now_s),
    }
    subject, until = SUBJECTS[which], rfc3339(world.now_s + hours * 3_600)
    if kind == "allow":
        return Allow(subject=subject, expires_at=until, **told)
    if kind == "mode":
        mode = "enforce" if action == "ban" else "shadow"
        return SetMode(mode=mode, scenario=(None, "coordinated-sweep")[which % 2], **told)
    if subject.scope == "range":
        subject = SUBJECTS[0]
    if kind in ("confirm", "overturn"):
        subject = Subject("account", f"copier_{which}")
        held = world.latest.get(subject.key)
        meant = held.decision_id if held else "unknown"
        if kind == "confirm":
            return Confirm(subject=subject, decision_id=meant, **told)
        return Overturn(subject=subject, decision_id=meant, **told)
    if kind == "release":
        return Release(subject=subject, **told)
    if kind == "reject":
        return Reject(subject=subject, decision_id="r", **told)
    limit = 2.0 if action == "throttle" else None
    return Approve(
        subject=subject,
        decision_id="r",
        action=action,
        limit_per_minute=limit,
        expires_at=until,
        **told,
    )


_KINDS = (
    *("allow", "allow", "release", "reject", "approve", "approve", "mode"),
    *("confirm", "overturn", "overturn"),
)
_words = st.tuples(
    st.sampled_from(_KINDS),
    st.integers(0, len(SUBJECTS) - 1),
    st.sampled_from((-1.0, 0.5, 5.0, 30.0, 60.0)),
    st.sampled_from(("throttle", "ban")),
)
_steps = st.one_of(
    st.tuples(st.just("go on"), st.integers(1, 400)),
    st.tuples(st.just("say"), _words),
    st.tuples(st.just("say"), _words),
    st.tuples(st.just("say again"), st.integers(0, 9)),
    st.tuples(st.just("restart"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_steps, min_size=3, max_size=14))
@example([("go on", 400), ("say", ("allow", 0, 30.0, "ban")), ("go on", 2_000)])
@example(
    [
        ("go on", 400),
        ("say", ("approve", 0, 0.5, "ban")),
        ("say", ("allow", 0, 0.5, "ban")),
        ("go on", 400),
        ("say again", 0),
    ]
)
@example([("go on", 400), ("say", ("allow", 2, 60.0, "ban")), ("go on", 2_000)])
def test_over_any_history_decisions_about_groups_and_members_follow_one_another_in_order(
    steps: Sequence[Step],
) -> None:
    world, words = World(), list[Control]()
    for kind, what in steps:
        if kind == "go on":
            world.go_on(what)
        elif kind == "restart":
            world.restart()
        elif kind == "say":
            words.append(said(world, len(words), *what))
            decisions = world.hear(words[-1])
            if isinstance(words[-1], Confirm):
                assert decisions == [], "it stays in force"
            elif isinstance(words[-1], Overturn):
                assert all(each.value == words[-1].subject.value for each in decisions)
                assert words[-1].subject.key not in world.latest
        elif words:
            assert world.hear(words[what % len(words)]) == []  # twice is once
