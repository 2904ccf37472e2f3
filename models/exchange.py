"""What partitions learn from each other, at the same points of every run.

Each partition tells the others, as its event time enters a new hour, what it has learned since it
told them last. The others take it in as they enter the second hour after: by then it has long
arrived, so that on live traffic nobody waits for anybody, and one account's clock may be an hour
ahead. Who catches up on a backlog waits for those that are behind. So what is known at a request
follows from the logs alone, however fast each is read.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import chain

import msgspec

from models.signals import HOUR_S

EPOCH_S = HOUR_S
#: Told in one epoch, taken in as many later.
DELAY = 2
#: Of what was told while there were no requests the latest day is taken in and some more kept, at
#: most 100 KB an hour from each other one. It is counted by what was told, not by its time: hours
#: in which nobody did anything may lie between. And whoever judges a request anew has been told
#: more by then, but little more: where there are requests, the others wait.
_TAKEN_MAX, _KEPT_MAX = 24, 48


class Digest(msgspec.Struct, frozen=True):
    """What one partition says to the others.

    Parameters
    ----------
    partition
        Who says it.
    through
        The epoch (hours since 1970) up to whose end this says what was learned.
    learned
        As `Population.emit_digest` has it; empty where that was nothing.
    idle
        Whether its log has come to an end for now, so that nobody needs to wait for it.
    """

    partition: int
    through: int
    learned: bytes
    idle: bool = False


class _Wire(msgspec.Struct, array_like=True):
    epoch: int
    told: int
    merged: dict[int, int]
    excused: list[int]


class Exchange:
    """One partition's part in it.

    Parameters
    ----------
    partition, partitions
        Which of how many.
    """

    def __init__(self, partition: int, partitions: int) -> None:
        self._others = [other for other in range(partitions) if other != partition]
        self._partition = partition
        self._epoch = self._told = 0
        #: When the next epoch begins, Unix seconds.
        self.next_s = float("-inf")
        #: Partition → up to which epoch it has been taken in.
        self._merged: dict[int, int] = {}
        #: Those that nobody waits for until they speak again.
        self._excused: set[int] = set()
        #: (through, partition) → what was told, and where it stands in its log.
        self._inbox: dict[tuple[int, int], tuple[bytes, int]] = {}

    def receive(self, digest: Digest, place: int) -> None:
        """Heed what another partition says, as `place` its offset in the log; not this one's own.

        Whether somebody must be waited for has to be heard at the same point where requests are
        judged anew.
        """
        if digest.partition == self._partition:
            return
        if digest.idle:
            self._excused.add(digest.partition)
        else:
            self._excused.discard(digest.partition)
            self.keep(digest, place)

    def keep(self, digest: Digest, place: int) -> None:
        """Keep what another partition has learned until it is due, and nothing twice."""
        if digest.through > self._merged.get(digest.partition, -1):
            self._inbox[digest.through, digest.partition] = digest.learned, place
            told = sorted(key for key in self._inbox if key[1] == digest.partition)
            for key in told[:-_KEPT_MAX]:
                del self._inbox[key]

    def tell(self, ts: float, learned: bytes | None) -> Digest:
        """Return what to tell the others as a request at `ts` begins an epoch."""
        self._told = int(ts // EPOCH_S)
        return Digest(self._partition, self._told - 1, learned or b"")

    def tell_idle(self) -> Digest:
        """Return what to tell the others as the log comes to an end for now."""
        return Digest(self._partition, self._told - 1, b"", idle=True)

    def is_told(self, ts: float) -> bool:
        """Whether the others know what was learned before the epoch of a request at `ts`."""
        return self._told >= int(ts // EPOCH_S)

    def lacking(self, ts: float) -> list[int]:
        """Return the partitions to wait for before a request at `ts` is judged."""
        due = int(ts // EPOCH_S) - DELAY
        heard = dict(self._merged)
        for through, partition in self._inbox:
            heard[partition] = max(heard.get(partition, -1), through)
        return [p for p in self._others if heard.get(p, -1) < due and p not in self._excused]

    def is_excused(self, partition: int) -> bool:
        """Whether nobody waits for this one."""
        return partition in self._excused

    def excuse(self, partitions: list[int]) -> None:
        """Wait for these no more until they speak again."""
        self._excused.update(partitions)

    def begin_epoch(self, ts: float) -> list[bytes]:
        """Begin the epoch of a request at `ts`; return what is to be taken in, in order."""
        self._epoch = int(ts // EPOCH_S)
        self.next_s = (self._epoch + 1) * EPOCH_S
        due = sorted(key for key in self._inbox if key[0] <= self._epoch - DELAY)
        latest: dict[int, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=_TAKEN_MAX))
        for through, partition in due:
            self._merged[partition] = through
            latest[partition].append((through, partition))
        learned = {key: self._inbox.pop(key)[0] for key in due}
        return [told for key in sorted(chain(*latest.values())) if (told := learned[key])]

    @property
    def oldest_place(self) -> int | None:
        """Where the first message stands that is not taken in yet."""
        return min((place for _, place in self._inbox.values()), default=None)

    def to_bytes(self) -> bytes:
        """Encode all but what is not taken in yet: that is read again."""
        excused = sorted(self._excused)
        return msgspec.msgpack.encode(_Wire(self._epoch, self._told, self._merged, excused))

    def restore(self, data: bytes) -> None:
        """Take up what `to_bytes` encoded."""
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self._epoch, self._told, self._merged = wire.epoch, wire.told, wire.merged
        self._excused = set(wire.excused)
        self.next_s = (self._epoch + 1) * EPOCH_S if self._epoch else float("-inf")
