"""The cycle collector as the worker and the replay set it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.collector import YOUNG_OBJECTS_MAX, spare_the_living


class _Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_cycles_are_left_alone_for_a_while_and_freed_all_the_same() -> None:
    gc.collect()
    spare_the_living()
    cycle = weakref.ref(_Cycle())
    living = [[] for _ in range(YOUNG_OBJECTS_MAX // 2)]
    assert cycle() is not None
    living += [[] for _ in range(YOUNG_OBJECTS_MAX)]
    assert cycle() is None
