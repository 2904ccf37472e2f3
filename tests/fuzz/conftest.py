"""What feeds a decoder its inputs, and how many."""

from __future__ import annotations

import faulthandler
import os
import resource
from collections.abc import Callable, Iterable, Iterator

import pytest

#: So many inputs of 8 KB that are not done after this make a decoder that hangs; the run is ended.
_WATCHED, _HANG_S = 100, 60.0
#: Of what was decoded nothing is kept. A run of millions would otherwise need more than this; what
#: a short one takes in addition is the allocator's.
_GROWTH_BYTES_MAX = 256 * 2**20

Feed = Callable[[Callable[[bytes], None], Iterable[bytes]], None]


@pytest.fixture(scope="session")
def inputs() -> int:
    """How many inputs each decoder gets: `make soak` gives it hundreds of thousands."""
    return int(os.environ.get("PAIRWATCH_TEST_INPUTS", "3000"))


@pytest.fixture
def feed(capfd: pytest.CaptureFixture[str]) -> Iterator[Feed]:
    """Return what feeds inputs to a decoder; it watches the time and the memory."""
    with capfd.disabled():
        stderr = os.dup(2)

    def feed(read: Callable[[bytes], None], inputs: Iterable[bytes]) -> None:
        for n, data in enumerate(inputs):
            if n % _WATCHED == 0:
                faulthandler.dump_traceback_later(_HANG_S, exit=True, file=stderr)
            try:
                read(data)
            except Exception as error:
                error.add_note(f"input: {data!r}")
                raise

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield feed
    faulthandler.cancel_dump_traceback_later()
    os.close(stderr)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1_024
    assert grown < _GROWTH_BYTES_MAX
