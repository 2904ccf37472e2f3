"""Who else reads a pair: the mark of a copier is that it reads what hardly anybody reads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.hashing import Hash64
from models.popularity_classes import Classes
from models.popularity_rows import PopularityRows
from models.population_state import (
    CLASSES,
    UNTOLD_MAX,
    GetRow,
    PopularityWire,
    Readings,
    Rows,
    Slots,
    pack,
    tally,
    unpack,
)

#: Slots, a power of two: two megabytes, and few collisions up to a million pairs. A collision
#: lets a rare pair pass for a better known one, never the other way round.
SLOTS_LG: Final = 20
SLOTS: Final = 1 << SLOTS_LG
_MASK: Final = SLOTS - 1
_READERS_MAX: Final = 255
#: What a slot keeps of its last reader: a byte, of which 0 says nobody.
_MARKS: Final = 255
_CLASS_OF: Final = [0] + [
    min((n - 1).bit_length() + 1, CLASSES - 1) for n in range(1, _READERS_MAX + 1)
]
#: The numbers of readers, and the first of each class.
_NUMBERS: Final = np.arange(_READERS_MAX + 1)
_FIRST_OF: Final = np.searchsorted(_CLASS_OF, np.arange(CLASSES))
#: With fewer slots free, or more readers over all of them, all counts are halved: what was
#: read once, long ago, is forgotten, and the popular stay popular.
_FREE_MIN: Final = int(0.4 * SLOTS)
_TOTAL_MAX: Final = 24 * SLOTS


#: Changes that wait in a list, and those that one response may add.
_LATEST_MAX: Final = 1_024

#: Marks a change that only says who chose a pair last; slot and reader take 28 bits. A reader of
#: another partition is 0.
_MET: Final = 1 << 31
#: The change that halves all counts.
_HALVED: Final = _MET


class Popularity:
    """Counts the readers of each pair, by which pairs fall into classes of popularity.

    Readers are told apart by the last one of each slot only: somebody who comes back to a pair
    that nobody else has read in between is not counted, and says nothing, twice. That one is
    remembered also where nothing is learned from it.

    Examples
    --------
    >>> popularity = Popularity()
    >>> for reader in range(40):
    ...     popularity.learn((1, 2, 3), reader)
    >>> popularity.readers(1), popularity.readers(4)
    (40, 0)
    """

    __slots__ = (
        "_last",
        "_latest",
        "_occupied",
        "_packed",
        "_readers",
        "_rows",
        "_total",
        "_untold",
        "classes",
    )

    def __init__(self) -> None:
        self._readers = bytearray(SLOTS)
        self._last = bytearray(SLOTS)
        #: Slots by class, and readers over all of them.
        self._occupied = [SLOTS] + [0] * (CLASSES - 1)
        self._total = 0
        #: What a read of each class says.
        self.classes = Classes()
        #: Keeps changes: slot and reader (1–255, of another partition 0) in 32 bits, and `_MET`.
        self._rows = PopularityRows()
        #: Slots with a reader that other partitions have not been told of yet.
        self._untold = array("I")
        #: The same as it is told, once it is known: packing takes milliseconds where there are as
        #: many as may be, and every snapshot has them.
        self._packed = b""
        #: The latest changes, which wait to become part of the rows and of what is untold: to add
        #: one to an array takes twice as long as to a list.
        self._latest: list[int] = []

    def readers(self, pair: int) -> int:
        """Return how many readers a pair (64-bit hash) has had, at most 255."""
        return self._readers[pair & _MASK]

    def look(self, pairs: Sequence[Hash64], reader: int) -> list[int]:
        """Return for each pair its class, as an index of what the classes say.

        Where this account was the last to read it, the class's complement (`~`), below 0.

        Parameters
        ----------
        pairs, reader
            Hashes of the pairs and of the account.
        """
        last, readers, mark = self._last, self._readers, reader % _MARKS + 1
        found: list[int] = []
        slot: Any  # an object for the look-ups that it is used for
        for pair in pairs:
            slot = pair & _MASK
            known: int = readers[slot]
            of = _CLASS_OF[known]
            found.append(~of if last[slot] == mark else of)
        return found

    def evidence(self, pair: int, reader: int) -> float | None:
        """Return what it says that an account reads a pair, in decibans; above 0: a copier."""
        of = self.look((pair,), reader)[0]
        return None if of < 0 else self.classes.evidence[of]

    def learn(
        self,
        pairs: Sequence[Hash64],
        reader: int,
        catalogue_size: int | None = None,
        *,
        counted: bool = True,
        chosen: bool = False,
        weighed: bool = False,
    ) -> None:
        """Take in that an account read pairs of which it was not the last reader.

        Parameters
        ----------
        pairs, reader
            Hashes of the pairs and of the account.
        catalogue_size
            Pairs there are, read or not; `None` estimates it from those read.
        counted
            Whether it counts as a reader, which only the honest do.
        chosen
            Whether it chose the pairs: then it is remembered as their last reader in any case.
        weighed
            Whether these choices tell what honest people choose.
        """
        last, readers, latest = self._last, self._readers, self._latest
        mark = reader % _MARKS + 1
        at: Any  # an object for the look-ups that it is used for
        for pair in pairs:
            at = pair & _MASK
            if last[at] == mark:
                continue
            before: int = readers[at]
            slot: int = at
            if weighed:
                self.classes.note(_CLASS_OF[before])
                self._renew_if_due(catalogue_size)
            if counted and before < _READERS_MAX:
                last[at] = mark
                latest.append(slot << 8 | mark)
                readers[at] = before + 1
                self._total += 1
                of, now = _CLASS_OF[before], _CLASS_OF[before + 1]
                if of != now:
                    occupied = self._occupied
                    occupied[of] = occupied[of] - 1
                    occupied[now] = occupied[now] + 1
                    if self._halve_if_full():
                        readers = self._readers
            elif chosen:
                last[at] = mark
                latest.append(_MET | slot << 8 | mark)
        if len(latest) >= _LATEST_MAX:
            self._gather()

    def _gather(self) -> None:
        """Add the latest changes to the rows, and their readers to what is untold."""
        changes = np.array(self._latest, dtype=np.uint32)
        self._latest.clear()
        self._rows.note(changes)
        readers = changes[(changes < _MET) & (changes & _MARKS > 0)] >> 8
        readers = readers[: UNTOLD_MAX - len(self._untold)]
        if len(readers):
            self._untold.frombytes(readers.tobytes())
            self._packed = b""

    def _add_all(self, slots: Slots, more: npt.NDArray[np.integer]) -> None:
        """Count so many readers more for each of these slots, which are distinct."""
        at, counts = slots.astype(np.intp), np.frombuffer(self._readers, dtype=np.uint8)
        before = counts.take(at)
        after = np.minimum(before + more, _READERS_MAX).astype(np.uint8)
        counts[at] = after
        change = _count_of_each(after) - _count_of_each(before)
        self._total += int(change @ _NUMBERS)
        moved = np.add.reduceat(change, _FIRST_OF)
        self._occupied = [a + b for a, b in zip(self._occupied, moved.tolist(), strict=True)]

    def _halve_if_full(self) -> bool:
        if self._occupied[0] >= _FREE_MIN and self._total <= _TOTAL_MAX:
            return False
        self._latest.append(_HALVED)
        self.classes.halve()
        self._halve()
        return True

    @property
    def has_news(self) -> bool:
        """Whether something was learned that other partitions have not been told."""
        self._gather()
        return len(self._untold) > 0

    def tell(self) -> Readings:
        """Return what was learned since the last time, for others to `merge`."""
        told = self._readings()
        self._untold, self.classes.untold = array("I"), [0] * CLASSES
        self._packed = b""
        return told

    def _readings(self) -> Readings:
        self._gather()
        if not self._packed:
            self._packed = pack(self._untold)
        return Readings(self._packed, self.classes.untold)

    def merge(self, readings: Readings, catalogue_size: int | None) -> None:
        """Learn what the accounts of another partition have read.

        Who they were is not told: one of ours that read a pair last remains known for it.

        Raises
        ------
        ValueError
            These are no readings.
        """
        slots, distinct, times = tally(readings.readers)
        if len(readings.read) != CLASSES or min(readings.read) < 0:
            raise ValueError("readings of another shape than ours")
        self._gather()
        self._rows.note(slots << np.uint32(8))
        self._add_all(distinct, times)
        self._halve_if_full()
        self.classes.merge(readings.read)
        self._renew_if_due(catalogue_size)

    def _renew_if_due(self, catalogue_size: int | None) -> None:
        if self.classes.is_due:
            size = catalogue_size or int(self.pairs_seen + self.pairs_unseen)
            self.classes.renew(self._occupied, size)

    def _halve(self) -> None:
        """Forget half of the readers."""
        self._readers = self._readers.translate(bytes(n // 2 for n in range(_READERS_MAX + 1)))
        self._recount()

    def _recount(self) -> None:
        counts = [self._readers.count(n) for n in range(_READERS_MAX + 1)]
        self._occupied = [0] * CLASSES
        for n, count in enumerate(counts):
            self._occupied[_CLASS_OF[n]] += count
        self._total = sum(n * count for n, count in enumerate(counts))

    @property
    def pairs_seen(self) -> int:
        """Pairs that have had a reader (a lower bound: some share a slot)."""
        return SLOTS - self._occupied[0]

    @property
    def pairs_unseen(self) -> float:
        """Pairs that nobody has read yet, at the least (Chao 1984, from those read once, twice)."""
        once, twice = self._occupied[1], self._occupied[2]
        return once * once / (2 * twice) if twice else 0.0

    def snapshot(self) -> tuple[PopularityWire, Rows]:
        """Return the numbers to keep, and the rows to write or (`None`) remove before them."""
        self._gather()
        rows = self._rows.write(self._readers, self._last)
        copy, copy_rows, change_rows = self._rows.place
        classes = self.classes
        wire = PopularityWire(
            read=classes.read,
            reads=classes.reads,
            renew_at=classes.renew_at,
            evidence=classes.evidence,
            copier_evidence=classes.copier_evidence,
            copy=copy,
            copy_rows=copy_rows,
            change_rows=change_rows,
            renewed_at=classes.renewed_at,
            untold=self._readings(),
            offered=classes.offered,
        )
        return wire, rows

    def restore(self, wire: PopularityWire, get: GetRow) -> None:
        """Take up what `snapshot` returned.

        Raises
        ------
        ValueError
            A row that the snapshot refers to is missing.
        """
        place = (wire.copy, wire.copy_rows, wire.change_rows)
        whole, changes = self._rows.restore(place, get)
        if whole is not None:
            self._readers, self._last = whole[:SLOTS], whole[SLOTS:]
            self._recount()
        for some in changes:
            self._change(some)
        self.classes.restore(wire)
        self._untold = array("I", unpack(wire.untold.readers).tobytes())
        self._packed = wire.untold.readers

    def _change(self, changes: Slots) -> None:
        """Do again what was noted, in its order."""
        halvings = np.flatnonzero(changes == _HALVED)
        for at, some in enumerate(np.split(changes, halvings)):
            if at:
                self._halve()
                some = some[1:]
            slots, marks = (some & np.uint32(_MET - 1)) >> np.uint32(8), some & np.uint32(0xFF)
            np.frombuffer(self._last, dtype=np.uint8)[slots[marks > 0]] = marks[marks > 0]
            self._add_all(*np.unique(slots[some < _MET], return_counts=True))


def _count_of_each(readers: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how many of these numbers of readers are 0, 1, 2, …"""
    return np.bincount(readers, minlength=_READERS_MAX + 1)
