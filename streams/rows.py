"""Rows that a checkpoint cut short can't tear: each thing has two, which are written in turn."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from streams.errors import OperatorError
from streams.outbox import Row

Get = Callable[[bytes], bytes | None]
#: How far a partition's state has come in each of its logs: requests, link activity, notices.
Reach = tuple[int, int, int]
_HEADER = struct.Struct(">qqq")


#: What an operator can do about rows that are no state: Kafka and RocksDB both check that they
#: give back what was written.
UNREADABLE_STATE_REMEDY = (
    "somebody else writes to the changelog; keep them out, then start with another kafka.group "
    "and an empty state.directory"
)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Tell of state that can't be read as somebody else's doing, not as a bug."""
    try:
        yield
    except (ValueError, IndexError, TypeError, RecursionError, struct.error) as error:
        why = f"{what} can't be read ({error!r:.200})"
        raise OperatorError(f"{why}: {UNREADABLE_STATE_REMEDY}") from None


class TwinRows:
    """One partition's rows by name; a row counts only if it reaches no further than the marker.

    Parameters
    ----------
    get
        Reads a row of the partition's table.
    durable
        Returns how far the last whole checkpoint reaches.
    """

    def __init__(self, get: Get, durable: Callable[[], Reach]) -> None:
        self._get = get
        self._durable = durable
        #: By kind and name which of its two rows holds the latest version, for what is live.
        self._slots: dict[str, dict[str, int]] = defaultdict(dict)

    def load(self, kind: str, name: str = "") -> bytes | None:
        """Return the latest version that counts, `None` if there is none.

        Parameters
        ----------
        kind, name
            A letter that says what it is, and whose.
        """
        durable = self._durable()
        latest, found = (-1, -1, -1), None
        for slot in (0, 1):
            key = _key(kind, name, slot)
            row = self._get(key)
            if row is not None:
                with reading(f"the row {key!r}"):
                    reach = _HEADER.unpack_from(row)
                is_whole = all(at <= end for at, end in zip(reach, durable, strict=True))
                if is_whole and latest < reach:
                    latest, found = reach, row[_HEADER.size :]
                    self._slots[kind][name] = slot
        return found

    def write(self, kind: str, named: Mapping[str, bytes], reach: Reach) -> list[Row]:
        """Return rows for what has changed of one kind, as of `reach`."""
        header, slots, rows = _HEADER.pack(*reach), self._slots[kind], []
        for name, value in named.items():
            slot = slots[name] = 1 - slots.get(name, 1)
            rows.append(Row(_key(kind, name, slot), header + value))
        return rows

    def forget(self, kind: str, names: Iterable[str]) -> None:
        """Let go of what is no longer live."""
        slots = self._slots[kind]
        for name in names:
            slots.pop(name, None)


def _key(kind: str, name: str, slot: int) -> bytes:
    # Both rows of a thing next to each other: whoever asks for one asks for the other.
    return f"{kind}{name}{slot}".encode()
