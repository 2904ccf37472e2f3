"""A replay that goes on for weeks holds no more memory than after some days."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: By then its caches are full.
_WARM_DAYS = 4
#: Above what the allocator gives and takes from day to day, far below a day's new accounts kept
#: live: 900 of them take 5 MiB.
_BYTES_A_DAY_MAX = 2**20
_DAYS = int(os.environ.get("PAIRWATCH_TEST_DAYS", "8"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory is resident")
def test_memory_does_not_grow_with_the_days() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.streams.memory", str(_DAYS)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    accounts, resident = zip(*(map(int, line.split()) for line in told), strict=True)
    assert accounts[-1] > 1.3 * accounts[_WARM_DAYS - 1]
    grown = resident[-1] - resident[_WARM_DAYS - 1]
    assert grown < _BYTES_A_DAY_MAX * (_DAYS - _WARM_DAYS)
