"""The directory in which one worker, and no other, keeps its state."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import OperatorError

_LOCK = "in-use"


@contextmanager
def claimed(directory: str) -> Iterator[None]:
    """Hold a state directory, and make it if need be; however the process ends, it lets go of it.

    Raises
    ------
    OperatorError
        Another worker holds it, or it can't be made or written.
    """
    path = Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / _LOCK).open("a")
    except OSError as error:
        why = error.strerror or str(error)
        raise OperatorError(f"state.directory: can't keep state in {directory}: {why}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorError(
                f"state.directory: another worker keeps its state in {directory}; each needs a "
                "directory of its own"
            ) from None
        yield
