"""How the pairs' readers are kept: a whole copy now and then, and the changes since."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

import numpy as np
import zstandard

from models.population_state import GetRow, Rows, Slots

#: A row of state stays well below the megabyte that brokers take.
_ROW_BYTES_MAX: Final = 512 * 1_024
#: Changes that fit into a row; of more than these the next snapshot is a whole copy, so that those
#: that come after need not be kept.
CHANGES_MAX: Final = _ROW_BYTES_MAX // array("I").itemsize
#: Changes are kept as they come and folded into a whole copy after so many rows of them, so that
#: neither taking up the state nor writing it grows without end.
_CHANGE_ROWS_MAX: Final = 500

#: Where the rows stand: the latest whole copy's number, its rows, and the rows of changes since.
Place = tuple[int, int, int]


class PopularityRows:
    """Says which rows to write at each snapshot, and reads them again."""

    __slots__ = ("_change_rows", "_copy", "_copy_rows", "_obsolete", "changes")

    def __init__(self) -> None:
        #: Changes since the last snapshot, packed into 32 bits.
        self.changes = array("I")
        self._copy = 0
        self._copy_rows = 0
        self._change_rows = 0
        #: The rows that the snapshot before the last still needed.
        self._obsolete: list[bytes] = []

    def note(self, changes: Slots) -> None:
        """Take in changes, in their order."""
        if len(self.changes) <= CHANGES_MAX:
            self.changes.frombytes(changes.tobytes())

    def write(self, readers: bytearray, last: bytearray) -> Rows:
        """Return the rows to write or (`None`) remove before a snapshot that refers to them.

        Parameters
        ----------
        readers, last
            What the changes have led to, for a whole copy.
        """
        rows: Rows = dict.fromkeys(self._obsolete)
        self._obsolete = []
        if self._change_rows >= _CHANGE_ROWS_MAX or len(self.changes) > CHANGES_MAX:
            # What the last snapshot refers to goes only after this one has taken its place.
            self._obsolete = [self._change_key(n) for n in range(self._change_rows)]
            self._copy += 1
            self._change_rows = 0
            whole = zstandard.compress(readers + last, level=1)
            parts = range(0, len(whole), _ROW_BYTES_MAX)
            self._copy_rows = len(parts)
            for n, start in enumerate(parts):
                rows[self._copy_key(n)] = whole[start : start + _ROW_BYTES_MAX]
        elif self.changes:
            rows[self._change_key(self._change_rows)] = self.changes.tobytes()
            self._change_rows += 1
        self.changes = array("I")
        return rows

    @property
    def place(self) -> Place:
        """Where the rows stand, for the snapshot that refers to them."""
        return self._copy, self._copy_rows, self._change_rows

    def restore(self, place: Place, get: GetRow) -> tuple[bytearray | None, Iterator[Slots]]:
        """Take up a place; return the whole copy, if there is one, and the changes since in order.

        Raises
        ------
        ValueError
            A row is missing, of one of the changes as they are read; or they are no copy.
        """
        self._copy, self._copy_rows, self._change_rows = place
        parts = [_row(get, self._copy_key(n)) for n in range(self._copy_rows)]
        try:
            whole = bytearray(zstandard.decompress(b"".join(parts))) if parts else None
        except zstandard.ZstdError as error:
            raise ValueError(f"the pairs' popularity: {error}") from None
        changes = (
            np.frombuffer(_row(get, self._change_key(n)), dtype=np.uint32)
            for n in range(self._change_rows)
        )
        return whole, changes

    def _copy_key(self, n: int) -> bytes:
        # Two copies take turns, so that the last whole one stands until the next is complete.
        return b"copy%d.%d" % (self._copy % 2, n)

    def _change_key(self, n: int) -> bytes:
        return b"change%d.%d" % (self._copy % 2, n)


def _row(get: GetRow, key: bytes) -> bytes:
    row = get(key)
    if row is None:
        raise ValueError(f"the state of the pairs' popularity lacks its row {key!r}")
    return row
