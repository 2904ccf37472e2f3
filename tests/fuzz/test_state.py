"""Whatever stands in the rows of the state: it is taken up, or refused in words of our own."""

from __future__ import annotations

import random

from models.profile_state import StateError
from models.request import Request
from streams.errors import OperatorError
from streams.settings import Logs, Settings
from streams.shard import Shard
from tests.fuzz.conftest import Feed
from tests.fuzz.mutations import mutations

NOW_S = 1_709_400_000.0
LOGS = Logs("requests", "link-activity", "notices")
#: Taking up a partition's state costs as much as reading so many messages.
_STATE_COSTS = 30


def state() -> dict[bytes, bytes]:
    """Return the rows of a partition's state as a worker leaves them."""
    rows: dict[bytes, bytes] = {}
    shard = Shard(Settings().detection(), "1", LOGS, 0, 1, rows.get, lambda: (0, 0, 0))
    chance = random.Random(1)
    requests = [
        Request(NOW_S + n, f"r{n}", f"a{chance.randrange(3)}", "view", [f"p{n}"])
        for n in range(2_000)
    ]
    for start in range(0, len(requests), 500):
        shard.judge(requests[start : start + 500], range(start, start + 500), start + 500)
        checkpoint = shard.begin_checkpoint()
        assert checkpoint is not None
        rows |= {row.key: row.value or b"" for row in [*checkpoint.rows, checkpoint.marker]}
        shard.end_checkpoint(checkpoint, 10)
    return rows


def test_any_row_of_state_is_taken_up_or_refused(feed: Feed, inputs: int) -> None:
    whole = state()
    accounts = sorted({key[1:-1].decode() for key in whole if key[:1] == b"a"})
    next_request = [Request(NOW_S + 9_000.0, "next", account, "view") for account in accounts]
    keys = sorted(whole)

    def take_up(key: bytes, data: bytes) -> None:
        rows = {**whole, key: data}
        try:
            shard = Shard(Settings().detection(), "1", LOGS, 0, 1, rows.get, lambda: (0, 0, 0))
            end = 10_000 + len(next_request)
            shard.judge(next_request, range(10_000, end), end)
        except (OperatorError, StateError):
            return

    for key in keys:
        damaged = mutations([whole[key]], inputs // _STATE_COSTS, f"state {key!r}")
        feed(lambda data, key=key: take_up(key, data), damaged)
