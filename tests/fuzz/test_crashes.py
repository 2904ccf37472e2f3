"""Whatever partitions are sent and told, and whenever they die: nothing is decided otherwise again.

PAIRWATCH_TEST_INPUTS says for how long; the seeds are the same in every run.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import msgspec
import pytest

from models.config import DetectionConfig
from models.decision import Decision, rfc3339
from models.exchange import Digest
from models.link_activity import LinkActivity
from models.notices import (
    Allow,
    Approve,
    Calendar,
    Confirm,
    Notice,
    Overturn,
    Reject,
    Release,
    SetMode,
    Subject,
)
from models.request import COUNT_MAX, ID_CHARS_MAX, LINKS_MAX, PAIR_IDS_MAX, Request
from streams.partitions import partition_of
from streams.settings import Logs
from streams.shard import Shard

LOGS = Logs("requests", "link-activity", "notices")
PARTITIONS = 3
START_S = 1_709_251_200.0
#: Inputs of a decoder for each step, which judges some dozens of requests.
_INPUTS_A_STEP = 12
#: Of each seed; all that was sent is kept, to be judged again, so that later steps take longer.
_STEPS_MAX = 2_500


class Sender:
    """Makes up requests: mostly of some accounts and pairs, with odd values among them.

    Clocks go on by seconds, jump by days, stand still or run wild, one way for each seed.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.now_s = START_S
        self._step: Callable[[], float] = chance.choice(
            [
                lambda: chance.expovariate(1 / 5),
                lambda: chance.choice((60.0, 7_200.0, 2e5)) if chance.random() < 0.002 else 0.3,
                lambda: 0.0,
                lambda: chance.uniform(-60, 100),
            ]
        )
        self._accounts = chance.choice((3, 30, 300))
        self._catalogue = chance.choice((5, 300, 100_000))
        self._sweeps, self._swept = chance.random() / 2, 0

    def request(self) -> Request:
        chance = self._chance
        self.now_s = max(self.now_s + self._step(), START_S)
        late_s = chance.choice((5, 3_000, 2e5)) if chance.random() < 0.05 else 0.0
        number = chance.randrange(self._accounts)
        odd_ids = ("ä\u0000", "\U0001f4a9" * 30, "x" * ID_CHARS_MAX, " ")
        action = chance.choices(("view", "generate", "download", "list", "other"), (6, 1, 1, 2, 1))
        count = chance.choice((0, 1, 30, PAIR_IDS_MAX)) if action == ["list"] else 1
        if chance.random() < self._sweeps:
            self._swept += count
            pairs = [f"p{self._swept + n}" for n in range(count)]
        else:
            pairs = [f"p{int(self._catalogue * chance.random() ** 3)}" for _ in range(count)]
        if chance.random() < 0.03:
            pairs = [chance.choice(("", "9" * 30, "日本" * 20, "a/b?c=4.png", "p-1"))]
        links = ({}, {"org": f"o{number % 3}"}, {"card": f"c{number % 5}"}, {"": ""})
        many = ({f"k{n}": "v" for n in range(LINKS_MAX)}, {"x": "y" * 5_000})
        return Request(
            self.now_s - late_s,
            chance.choice(("again", f"r{chance.random()}", f"r{chance.random()}")),
            f"a{number}" if chance.random() < 0.99 else chance.choice(odd_ids),
            *action,
            pairs,
            owner_id=chance.choice((None, None, "a1", "")),
            ip=chance.choice((None, f"10.0.0.{number % 256}", f"2001:db8::{number % 9}", "none")),
            ja4=chance.choice((None, "t13d", "")),
            asn=chance.choice((None, 64_500, COUNT_MAX, -COUNT_MAX)),
            links=chance.choice(many if chance.random() < 0.02 else links),
            status=chance.choices((200, 429, 403, 500, 0, -COUNT_MAX), (70, 9, 9, 9, 1, 1))[0],
            bytes=chance.choice((0, -5, COUNT_MAX)),
        )


def say(chance: random.Random, now_s: float, known: list[Decision]) -> Notice:
    """Make up what an operator says, mostly of what was decided."""
    others = [("group", "org:o1"), ("range", "10.0.0.0/8"), ("range", "::/0"), ("account", "who")]
    meant = chance.choice(known) if known and chance.random() < 0.7 else None
    scope, value = chance.choice(others) if meant is None else (meant.scope, meant.value)
    subject = Subject(scope, value)  # type: ignore[arg-type]
    told = {
        "id": f"n{chance.random()}",
        "by": "mira",
        "why": "a test",
        "issued_at": rfc3339(now_s + chance.uniform(-1e5, 1e4)),
    }
    later = rfc3339(now_s + chance.uniform(-1e4, 1e6))
    about = {"subject": subject, "decision_id": meant.decision_id if meant else "unknown"}
    if subject.scope == "range" or chance.random() < 0.2:
        return Allow(subject=subject, expires_at=later, **told)
    makers: list[Callable[[], Notice]] = [
        lambda: Release(subject=subject, **told),
        lambda: SetMode(mode=chance.choice(("shadow", "enforce")), **told),
        lambda: Calendar(
            name="fair", starts_at=rfc3339(START_S), ends_at=later, tolerance=2.0, **told
        ),
        lambda: Overturn(**about, **told),
        lambda: Confirm(**about, **told),
        lambda: Reject(**about, **told),
        lambda: Approve(
            action=chance.choice(("throttle", "ban")), expires_at=later, **about, **told
        ),
    ]
    return chance.choice(makers)()


class Service:
    """Partitions with their logs, of which each may die at any point of a checkpoint."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._config = DetectionConfig(
            mode=chance.choice(("shadow", "enforce")),
            false_throttles_per_1000_account_days=10 ** chance.uniform(-1, 3),
            false_bans_per_100000_account_days=10 ** chance.uniform(-1, 4),
            catalogue_size=chance.choice((None, 50, 10**6)),
            blast_radius_share=chance.choice((0.1, 1.0)),
        )
        self._requests: list[list[Request]] = [[] for _ in range(PARTITIONS)]
        self._activities: list[list[LinkActivity]] = [[] for _ in range(PARTITIONS)]
        self._notices: list[list[Notice | Digest]] = [[] for _ in range(PARTITIONS)]
        self._rows: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
        self._said: set[str] = set()
        #: By id, and by key and revision.
        self._published: dict[object, bytes] = {}
        self.decisions: list[Decision] = []
        self.crashes = 0
        self._shards = [self._start(n) for n in range(PARTITIONS)]

    def _start(self, n: int) -> Shard:
        def ends() -> tuple[int, int, int]:
            return len(self._requests[n]), len(self._activities[n]), len(self._notices[n])

        return Shard(self._config, "1", LOGS, n, PARTITIONS, self._rows[n].get, ends)

    def send(self, request: Request) -> None:
        self._requests[partition_of(request.account_id.encode(), PARTITIONS)].append(request)

    def tell_all(self, notice: Notice | Digest, but: int | None = None) -> None:
        for n in range(PARTITIONS):
            if n != but:
                self._notices[n].append(notice)

    def step(self) -> None:
        """Let one partition do something that it may do."""
        n = self._chance.randrange(PARTITIONS)
        shard = self._shards[n]
        self._hear(n)
        if not shard.owes_notices:
            self._judge(n)
            self._judge_links(n)
        if shard.offset == len(self._requests[n]) and self._chance.random() < 0.2:
            self.tell_all(shard.detector.exchange.tell_idle(), but=n)
        if self._chance.random() < 0.3:
            self._checkpoint(n)

    def _hear(self, n: int) -> None:
        shard, log = self._shards[n], self._notices[n]
        shard.receive(list(enumerate(log))[shard.resume[2] :], len(log))
        if shard.owes_notices and not shard.missing_notices:
            self._publish(shard.apply_notices())

    def _judge(self, n: int) -> None:
        shard = self._shards[n]
        some = self._requests[n][shard.offset :][: self._chance.choice((1, 50, 200))]
        end = shard.offset + len(some)
        seen = shard.judge(some, range(shard.offset, end), end)
        self._publish(seen.decisions)
        shard.expire()
        for digest in seen.digests:
            self.tell_all(digest, but=n)
        for activity in seen.activities:
            home = partition_of(activity.link.encode(), PARTITIONS)
            self._activities[home].append(LinkActivity.from_bytes(activity.to_bytes()))

    def _judge_links(self, n: int) -> None:
        shard = self._shards[n]
        some = self._activities[n][shard.activity :][: self._chance.choice((0, 30))]
        end = shard.activity + len(some)
        judgement = shard.judge_links(some, range(shard.activity, end), end)
        self._publish(judgement.reviews)
        for verdict in judgement.verdicts:
            if verdict.id not in self._said:
                self._said.add(verdict.id)
                home = partition_of(verdict.account_id.encode(), PARTITIONS)
                self._notices[home].append(verdict)

    def _checkpoint(self, n: int) -> None:
        shard, rows = self._shards[n], self._rows[n]
        begun = shard.begin_checkpoint()
        if begun is None:
            return
        written = [*begun.rows, begun.marker]
        lost = self._chance.choice((0, 0, 0, 0, 1, len(written), self._chance.randrange(9)))
        for row in written[: len(written) - lost]:
            if row.value is None:
                rows.pop(row.key, None)
            else:
                rows[row.key] = row.value
        if lost or self._chance.random() < 0.1:
            self._shards[n] = self._start(n)
            self.crashes += 1
            return
        shard.end_checkpoint(begun, self._chance.choice((0, 1_000)))
        if begun.lifts:
            shard.take_lifted()
        if shard.owes_notices:
            self._publish(shard.apply_notices())

    def _publish(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            told = msgspec.json.encode(decision)
            json.loads(told)
            for name in (decision.decision_id, (decision.key, decision.revision)):
                assert self._published.setdefault(name, told) == told
            self.decisions.append(decision)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_decided_once_is_never_decided_otherwise(seed: int, inputs: int) -> None:
    chance = random.Random(seed)
    sender, service = Sender(chance), Service(chance)
    steps = min(inputs // _INPUTS_A_STEP, _STEPS_MAX)
    for _ in range(steps):
        for _ in range(chance.choice((0, 1, 20, 60))):
            service.send(sender.request())
        if chance.random() < 0.05:
            service.tell_all(say(chance, sender.now_s, service.decisions))
        service.step()
    assert service.crashes > steps // 20
