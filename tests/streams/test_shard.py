"""A partition's state: whatever a crash left in its rows, the last whole checkpoint counts."""

from __future__ import annotations

import random

import msgspec
import pytest

from models.config import DetectionConfig
from models.decision import Decision
from models.request import Request
from streams.codec import TS_AHEAD_MAX_S
from streams.errors import OperatorError
from streams.outbox import Row
from streams.shard import STATE_VERSION, Checkpoint, Shard, state_offset

START_S = 1_709_300_000.0


def shard(rows: dict[bytes, bytes]) -> Shard:
    return Shard(DetectionConfig(), "1", "requests", 0, rows.get)


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
    seen = state.detector.observe(requests[state.offset :], range(state.offset, len(requests)))
    state.offset = len(requests)
    state.watermark_s = max(request.ts for request in requests)
    for decision in seen.decisions:
        state.note(decision)
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
    assert [row.key for row in begun.rows if row.key.startswith(b"a")] == [b"a1p0"]
    assert state_offset(rows.get) == len(requests)


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


def test_state_of_a_newer_version_is_refused() -> None:
    rows = {b"m": msgspec.msgpack.encode([STATE_VERSION + 1, {"in": "another form"}])}
    with pytest.raises(OperatorError, match="run the newer pairwatch again"):
        shard(rows)
