"""How far behind a worker is, and what it says of that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from faust.types import TP

from models.notices import Detail
from streams.detail import Detailing
from streams.transport import BatchConsumer
from tests.streams.test_agents import app_for, with_state

REQUESTS = "gateway.requests"


class Consumer(BatchConsumer):
    """Reads two of the four partitions of requests, of which one has more to read, and one judged.

    Parameters
    ----------
    app
        The worker.
    waiting
        How many requests have not been read yet, and then of those that are judged.
    """

    def __init__(self, app: object, waiting: int, judged: TP) -> None:
        self.app = app
        self._next = {TP(REQUESTS, 0): 70, TP(REQUESTS, 1): 10}
        self._ends = {TP(REQUESTS, 0): 70 + waiting, TP(REQUESTS, 1): 10, judged: 0}
        self._last_gap: dict[TP, tuple[int, int]] = {}
        self._thread = SimpleNamespace(
            _consumer=SimpleNamespace(partitions_for_topic=lambda _: {0, 1, 2, 3})
        )

    def assignment(self) -> set[TP]:
        return set(self._ends)

    def highwater(self, tp: TP) -> int:
        return self._ends[tp]


@pytest.mark.parametrize("is_keyed", [False, True], ids=["rekeyed", "keyed by account"])
async def test_requests_that_are_still_to_be_forwarded_count_as_being_behind(
    tmp_path: Path, is_keyed: bool
) -> None:
    app, sent = app_for(tmp_path, is_keyed)
    limit, partitions = app.settings.limits.full_detail_lag_events, app.settings.topics.partitions
    tp = with_state(app)
    # As the other half of the partitions is as far behind, each judged one has all of it coming.
    app.consumer = Consumer(app, waiting=limit * partitions // 2 + partitions, judged=tp)
    await Detailing(app).adjust()
    said = [msgspec.json.decode(row.value or b"", type=Detail) for row in sent.rows.get(0, [])]
    assert [one.full_per_minute for one in said] == ([] if is_keyed else [60])
