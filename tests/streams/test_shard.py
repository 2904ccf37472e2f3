"""A partition's state: whatever a crash left in its rows, the last whole checkpoint counts."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from models.config import DetectionConfig
from models.decision import Decision, rfc3339
from models.exchange import Digest
from models.notices import Allow, Calendar, Control, Overturn, Release, SetMode, Subject
from models.request import Request
from streams.codec import TS_AHEAD_MAX_S
from streams.errors import OperatorError
from streams.in_force import InForce
from streams.marker import STATE_VERSION, resume_offsets
from streams.outbox import Row
from streams.settings import Logs
from streams.shard import GROUPS_LIVE_MAX, JUDGED_AHEAD_MAX, Checkpoint, Shard
from streams.transport import BATCH_RECORDS_MAX
from tests.models.test_groups import copiers, told_of

START_S = 1_709_300_000.0
LOGS = Logs("requests", "link-activity", "notices")


def shard(rows: dict[bytes, bytes], log_end: int = 0) -> Shard:
    # With so much to spend copiers are found out whatever operators say about others.
    config = DetectionConfig(false_throttles_per_1000_account_days=100)
    return Shard(config, "1", LOGS, 0, 1, rows.get, lambda: (log_end, 0, 0))


def write(rows: dict[bytes, bytes], written: list[Row]) -> None:
    for row in written:
        if row.value is None:
            rows.pop(row.key, None)
        else:
            rows[row.key] = row.value


def checkpoint(state: Shard, rows: dict[bytes, bytes], accounts_max: int = 1_000) -> None:
    begun = state.begin_checkpoint()
    assert begun is not None
    write(rows, [*begun.rows, begun.marker])
    state.end_checkpoint(begun, accounts_max)


def observe(state: Shard, requests: list[Request]) -> list[Decision]:
    """Judge those requests that the state does not include yet."""
    end = len(requests)
    seen = state.judge(requests[state.offset :], range(state.offset, end), end)
    return seen.decisions


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    chance = random.Random(3)
    people = [
        Request(START_S + n * 60, f"r{n}", f"p{chance.randrange(9)}", "view", [f"top{n % 50}"])
        for n in range(400)
    ]
    return [
        *people[:200],
        *(
            Request(START_S + 2e4 + n / 20, f"c{n}", f"c{n % 3}", "view", [f"x{n}"])
            for n in range(3_000)
        ),
        *people[200:],
    ]


@pytest.mark.parametrize("accounts_max", [1_000, 0], ids=["live", "let go of"])
@pytest.mark.parametrize("lost", ["nothing", "marker", "half the rows"])
def test_goes_on_from_the_last_whole_checkpoint(
    requests: list[Request], lost: str, accounts_max: int
) -> None:
    expected = observe(shard({}), requests)
    assert len(expected) >= 3
    rows: dict[bytes, bytes] = {}
    decided: dict[str, Decision] = {}
    for end in range(200, len(requests) + 1, 200):
        state = shard(rows)  # a restart
        for part in (end - 100, end):
            for decision in observe(state, requests[:part]):
                assert decided.setdefault(decision.decision_id, decision) == decision
            if part < end:
                checkpoint(state, rows, accounts_max)
        begun = state.begin_checkpoint()
        assert begun is not None
        write(rows, survivors(begun, lost))
    assert list(decided.values()) == expected


def survivors(begun: Checkpoint, lost: str) -> list[Row]:
    """Return what a crash at some point of a checkpoint leaves of it."""
    if lost == "nothing":
        return [*begun.rows, begun.marker]
    return begun.rows if lost == "marker" else begun.rows[: len(begun.rows) // 2]


def test_writes_only_what_changed(requests: list[Request]) -> None:
    rows: dict[bytes, bytes] = {}
    state = shard(rows)
    observe(state, requests)
    checkpoint(state, rows)
    assert state.begin_checkpoint() is None
    observe(state, [*requests, Request(START_S + 9e4, "one more", "p0", "view")])
    begun = state.begin_checkpoint()
    assert begun is not None
    assert [row.key for row in begun.rows if row.key.startswith(b"a")] == [b"ap01"]
    assert resume_offsets(rows.get) == (len(requests), 0, 0)


def test_what_is_new_waits_for_a_checkpoint_once_memory_has_no_room() -> None:
    [told, *_] = told_of(*copiers(1, 100))
    rows: dict[bytes, bytes] = {}
    for accounts_max in (0, 5_000, 40_000):
        state = shard(rows)
        first = at = state.offset
        while at < first + 1.2 * GROUPS_LIVE_MAX:
            assert state.has_room(accounts_max)  # after a checkpoint always
            while state.has_room(accounts_max):
                new = range(at, at + BATCH_RECORDS_MAX)
                at = new.stop
                state.judge([Request(START_S, f"r{n}", f"p{n}", "view") for n in new], new, at)
                others = [msgspec.structs.replace(told, link=f"org:o{n}") for n in new]
                state.judge_links(others, new, at)
            assert state.detector.live_accounts <= max(accounts_max, BATCH_RECORDS_MAX)
            assert state.groups.live_groups <= GROUPS_LIVE_MAX
            checkpoint(state, rows, accounts_max)
    assert {f"{kind}{n}0".encode() for kind in ("ap", "gorg:o") for n in range(at)} <= rows.keys()


def views(count: int, accounts: int = 1) -> list[Request]:
    return [
        Request(START_S + n, f"v{n}", f"a{n % accounts}", "view", [f"p{n}"]) for n in range(count)
    ]


def test_who_catches_up_judges_on_and_is_durable_after_some_time_all_the_same() -> None:
    rows: dict[bytes, bytes] = {}
    state = shard(rows, log_end=1_000_000)
    checkpointed = []
    for end in range(100, 1_000, 100):
        observe(state, views(end))
        if not state.puts_off(1_000):
            checkpoint(state, rows)
            checkpointed.append(end)
    assert checkpointed == [400, 800]
    near_the_end = shard(rows, log_end=3_000)
    assert resume_offsets(rows.get)[0] == 800
    observe(near_the_end, views(1_800))
    assert near_the_end.puts_off(1_000)
    observe(near_the_end, views(2_800))
    assert not near_the_end.puts_off(1_000)
    observe(near_the_end, views(2_900))
    assert near_the_end.puts_off(1_000, coming=1_000), "that many are still to be forwarded"
    assert not near_the_end.puts_off(1_000, coming=1_000), "it judges nothing"


def test_nobody_waits_for_what_is_put_off() -> None:
    assert not shard({}, log_end=1_000_000).puts_off(1_000), "nothing was judged"
    rows: dict[bytes, bytes] = {}
    ends = [(100, 0, 0)]
    state = Shard(DetectionConfig(), "1", LOGS, 0, 1, rows.get, lambda: ends[-1])
    chance = random.Random(1)
    observe(state, views(100))
    state.receive([(0, said(0, chance))], 1)
    checkpoint(state, rows)
    state.apply_notices()
    ends.append((1_000_000, 0, 1))
    observe(state, views(200))
    assert state.puts_off(1_000)
    state.receive([(1, said(1, chance))], 2)
    assert not state.puts_off(1_000)
    # It can't be heard before all is judged again that may have been judged before.
    again = Shard(DetectionConfig(), "1", LOGS, 0, 1, rows.get, lambda: ends[-1])
    again.receive([(0, said(0, chance))], 1)
    again.apply_notices()
    observe(again, views(200))
    again.receive([(1, said(1, chance))], 2)
    assert again.puts_off(1_000)
    crowded = shard({}, log_end=1_000_000)
    observe(crowded, views(4_500, accounts=4_500))
    assert crowded.has_room(10_000)
    assert crowded.puts_off(10_000)
    assert crowded.has_room(5_100)
    assert not crowded.puts_off(5_000)
    full = shard({}, log_end=1_000_000)
    observe(full, views(200, accounts=200))
    assert not full.has_room(600)
    assert not full.puts_off(600), "whoever judges waits for room"
    busy = shard({}, log_end=1_000_000)
    busy.judge([], [], JUDGED_AHEAD_MAX // 2 - 1_000)
    assert busy.puts_off(1_000)
    busy.judge([], [], JUDGED_AHEAD_MAX // 2)
    assert not busy.puts_off(1_000)


def test_a_decision_ends_once_event_time_has_passed_it_for_certain(
    requests: list[Request],
) -> None:
    rows: dict[bytes, bytes] = {}
    state = shard(rows)
    decisions = observe(state, requests[:3_200])
    keys = {decision.key for decision in decisions}
    checkpoint(state, rows)
    state = shard(rows)
    assert state.expire() == []
    end_s = START_S + 2e4 + 86_400 + 200
    # One account's clock may be wrong by as much as is let through.
    state.watermark_s = START_S + 2e4 + 3_600 + TS_AHEAD_MAX_S - 1
    assert state.expire() == []
    state.watermark_s = end_s + TS_AHEAD_MAX_S
    assert set(state.expire()) == keys
    assert state.expire() == []


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (STATE_VERSION + 1, "run the newer pairwatch again"),
        (STATE_VERSION - 1, "start with another kafka.group and an empty state.directory"),
    ],
)
def test_state_of_another_version_is_refused(version: int, remedy: str) -> None:
    rows = {b"m": msgspec.msgpack.encode([version, {"in": "another form"}])}
    with pytest.raises(OperatorError, match=remedy):
        shard(rows)


def said(number: int, chance: random.Random) -> Control:
    """Return something that an operator may say."""
    told: dict[str, Any] = {
        "id": f"n{number}",
        "by": "mira",
        "why": "a test",
        "issued_at": rfc3339(START_S + 2e4 + chance.uniform(0, 20)),
    }
    subject = Subject("account", f"c{chance.randrange(3)}")
    later = rfc3339(START_S + 2e4 + chance.uniform(10, 100))
    match chance.randrange(5):
        case 0:
            return Release(subject=subject, **told)
        case 1:
            return Allow(subject=subject, expires_at=later, **told)
        case 2:
            return SetMode(mode=chance.choice(("shadow", "enforce")), **told)
        case 3:
            starts = rfc3339(START_S)
            return Calendar(name="fair", starts_at=starts, ends_at=later, tolerance=2.0, **told)
        case _:
            return Overturn(subject=subject, decision_id="unknown", **told)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_said_and_whenever_it_crashes_no_revision_is_given_twice(
    requests: list[Request], seed: int
) -> None:
    chance = random.Random(seed)
    log = [said(number, chance) for number in range(12)]
    places = sorted(chance.randrange(len(requests)) for _ in log)
    rows: dict[bytes, bytes] = {}
    published: dict[tuple[str, int], Decision] = {}
    state, uttered, crashes, farthest = shard(rows), 0, 0, 0
    in_force, latest = InForce(), dict[str, int]()

    def publish(decisions: list[Decision]) -> None:
        for decision in decisions:
            account, revision = decision.value, decision.revision
            known = published.setdefault((account, revision), decision)
            assert known == decision
            in_force.apply(decision.key.encode(), msgspec.json.encode(decision), START_S)
            latest[account] = max(latest.get(account, 0), revision)
            # Whoever enforces is never taken back to what was lifted or replaced.
            newest, applies = published[account, latest[account]], in_force.applies
            is_meant = newest.action != "release" and not newest.simulated
            assert applies(account, START_S) == (newest if is_meant else None)

    def bury(keys: list[str]) -> None:
        for key in keys:
            account = key.removeprefix("account:")
            assert published[account, latest[account]].action == "release"
            in_force.apply(key.encode(), None, START_S)

    while state.durable[0] < len(requests) or state.durable[2] < len(log):
        if not state.owes_notices and state.offset < len(requests):
            publish(observe(state, requests[: state.offset + chance.randrange(1, 150)]))
        farthest = max(farthest, state.offset)
        uttered = max(uttered, sum(place < state.offset for place in places))
        if chance.random() < 0.5 or state.offset == len(requests):
            state.receive(list(enumerate(log[:uttered])), uttered)
        begun = state.begin_checkpoint() if chance.random() < 0.5 else None
        lost = chance.choice(("nothing", "nothing", "marker", "half the rows"))
        if begun is not None:
            write(rows, survivors(begun, lost))
            if lost == "nothing":
                state.end_checkpoint(begun, chance.choice((0, 1_000)))
                if begun.lifts and chance.random() < 0.7:  # or it is killed just then
                    bury(state.take_lifted())
                publish(state.apply_notices())
        if (begun is not None and lost != "nothing") or chance.random() < 0.1:
            state, crashes = shard(rows, farthest), crashes + 1
            state.receive(list(enumerate(log[:uttered])), uttered)
            assert not state.missing_notices  # what was promised had been said
            if state.owes_notices:
                publish(state.apply_notices())
    while (begun := state.begin_checkpoint()) is not None:
        write(rows, survivors(begun, "nothing"))
        state.end_checkpoint(begun, 1_000)
        bury(state.take_lifted())
    released = {a for a, revision in latest.items() if published[a, revision].action == "release"}
    assert len(in_force) == len(latest) - len(released)  # nothing of them is left
    assert crashes > 3
    assert {decision.action for decision in published.values()} >= {"throttle", "release"}
    by_account: dict[str, list[int]] = {}
    for value, revision in published:
        by_account.setdefault(value, []).append(revision)
    for revisions in by_account.values():
        assert sorted(revisions) == list(range(1, len(revisions) + 1))


def test_what_is_said_waits_for_no_record_where_the_log_turns_out_to_end_with_a_gap(
    requests: list[Request],
) -> None:
    rows: dict[bytes, bytes] = {}
    state = shard(rows)
    observe(state, requests[:100])
    checkpoint(state, rows)
    ends = [(101, 0, 1)]
    state = Shard(DetectionConfig(), "1", LOGS, 0, 1, rows.get, lambda: ends[-1])
    state.receive([(0, said(0, random.Random(1)))], 1)
    assert state.begin_checkpoint() is None  # the record at 100 may have been judged before
    ends.append((100, 0, 1))
    begun = state.begin_checkpoint()
    assert begun is not None
    assert begun.notices_due == 1


def test_a_partition_asks_for_the_notices_that_it_was_promised(requests: list[Request]) -> None:
    rows: dict[bytes, bytes] = {}
    state = shard(rows)
    observe(state, requests[:100])
    notice = said(0, random.Random(1))
    state.receive([(4, notice), (5, notice)], 6)
    checkpoint(state, rows)
    state = shard(rows)
    assert state.owes_notices
    assert state.missing_notices == "notices[0] 4–5"
    assert state.begin_checkpoint() is None  # its promise stands
    state.receive([(4, notice), (5, notice), (6, notice)], 7)
    assert not state.missing_notices
    state.apply_notices()
    assert not state.owes_notices
    assert state.waiting == 1  # the next cut is for the next one


def test_what_partitions_tell_each_other_in_a_quiet_night_keeps_nobody_waiting(
    requests: list[Request],
) -> None:
    rows: dict[bytes, bytes] = {}
    state = Shard(DetectionConfig(), "1", LOGS, 0, 2, rows.get, lambda: (0, 0, 0))
    state.receive([(0, Digest(partition=1, through=10**6, learned=b""))], 1)
    observe(state, requests[:100])
    checkpoint(state, rows)
    assert state.begin_checkpoint() is None
    assert (state.notices_done, state.resume[2]) == (1, 0)
    # A person's word counts until it is done and durable.
    state.receive([(1, said(0, random.Random(1)))], 2)
    assert state.notices_done == 1
    checkpoint(state, rows)
    state.apply_notices()
    assert state.notices_done < 2
    checkpoint(state, rows)
    assert (state.notices_done, state.resume[2]) == (2, 0)


def test_who_need_not_be_waited_for_is_heard_at_the_same_request_again() -> None:
    def state_of(rows: dict[bytes, bytes]) -> Shard:
        return Shard(DetectionConfig(), "1", LOGS, 0, 2, rows.get, lambda: (len(log), 0, len(told)))

    hour, log, told = int(START_S // 3_600), views(2), [Digest(1, 0, b"", idle=True)]
    log[1] = msgspec.structs.replace(log[1], ts=START_S + 7_200)
    rows: dict[bytes, bytes] = {}
    state = state_of(rows)
    assert state.judge(log, (0, 1), 2).lacking == [1]
    state.receive([(0, told[0])], 1)
    assert state.judge(log, (0, 1), 2).lacking == [1]
    checkpoint(state, rows)  # it is lacked by whoever judges this request for the first time
    state.apply_notices()
    assert state.judge(log[:1], (0,), 1).lacking == []
    checkpoint(state, rows)
    # It speaks again, of what would be due at the second request, and only then is that judged.
    told.append(Digest(1, hour, b"learned"))
    assert state.judge(log[1:], (1,), 2).taken == 1
    again = state_of(rows)
    again.receive(list(enumerate(told))[again.resume[2] :], 2)
    assert again.judge(log[1:], (1,), 2).taken == 1
    exchanges = [each.detector.exchange for each in (state, again)]
    assert exchanges[0].to_bytes() == exchanges[1].to_bytes()
    # After the next cut it is heard, and waited for.
    checkpoint(again, rows)
    again.apply_notices()
    for each in (again, state_of(rows)):
        each.receive(list(enumerate(told))[each.resume[2] :], 2)
        each.apply_notices()
        assert not each.detector.exchange.is_excused(1)
        assert each.detector.exchange.oldest_place == 1
