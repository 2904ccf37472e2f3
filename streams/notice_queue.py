"""What one partition is told beside its requests, until it takes effect.

Notices take effect between two cuts. The marker of state says which are applied right after it,
before anything further is judged: whoever takes over does the same, and so comes to the same
decisions.

What other partitions have learned is heard at once from those that this one waits for, as it goes
on only then. That somebody need not be waited for, and what it says next, are notices: otherwise
what is known at a request would depend on how soon each log is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from models.exchange import Digest, Exchange
from models.notices import Notice

#: Notices that wait for the next cut; beyond it their agent waits. A second's worth is a few.
NOTICES_WAITING_MAX = 10_000


class NoticeQueue:
    """The notices of one partition between their log and its models.

    Parameters
    ----------
    exchange
        Takes in what the other partitions say.
    done, due, resume
        The next notice to apply, up to which they come before the next record, and where to read
        on in their log: some are needed again.
    """

    def __init__(self, exchange: Exchange, done: int, due: int, resume: int) -> None:
        self._exchange = exchange
        self.done, self.due, self.read = done, due, resume
        self._waiting: deque[tuple[int, Notice | Digest]] = deque()
        #: What came after those that are owed: how it is heard follows from them.
        self._after_those_owed: list[tuple[int, Notice | Digest]] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._after_those_owed)

    @property
    def is_owed(self) -> bool:
        """Whether some must be applied before the next record."""
        return self.done < self.due

    @property
    def first(self) -> int:
        """The first one that is not done yet, or hasn't been read."""
        return self._waiting[0][0] if self._waiting else self.read

    @property
    def resume(self) -> int:
        """Where a successor would have to read on."""
        oldest = self._exchange.oldest_place
        return self.first if oldest is None else min(oldest, self.first)

    def receive(self, notices: Iterable[tuple[int, Notice | Digest]], next_offset: int) -> None:
        """Take in notices, with their offsets.

        Parameters
        ----------
        notices
            In the order of their log; some may come again after a restart.
        next_offset
            That of the first notice that has not been read yet.
        """
        for offset, notice in notices:
            if offset < self.read:
                continue
            if self.is_owed and offset >= self.due:
                self._after_those_owed.append((offset, notice))
            else:
                self._keep(offset, notice)
        self.read = max(self.read, next_offset)

    def _keep(self, offset: int, notice: Notice | Digest) -> None:
        is_done = offset < self.done
        if not isinstance(notice, Digest):
            if not is_done:
                self._waiting.append((offset, notice))
        elif is_done:  # whether it is waited for is part of the state
            if not notice.idle:
                self._exchange.keep(notice, offset)
        elif notice.idle or self._is_heard_late(notice.partition):
            self._waiting.append((offset, notice))
        else:
            self._exchange.receive(notice, offset)

    def _is_heard_late(self, partition: int) -> bool:
        """Whether nobody waits for a partition, or what it said last waits for the next cut."""
        return self._exchange.is_excused(partition) or any(
            isinstance(each, Digest) and each.partition == partition for _, each in self._waiting
        )

    def promise(self) -> int:
        """Return up to which notices a cut may say that they come before the next record."""
        return self._waiting[-1][0] + 1 if self._waiting else self.due

    def take_owed(self) -> Iterator[tuple[int, Notice]]:
        """Hand out the notices that are owed, and hear what partitions say among them."""
        while self._waiting and self._waiting[0][0] < self.due:
            offset, notice = self._waiting.popleft()
            if isinstance(notice, Digest):
                self._exchange.receive(notice, offset)
            else:
                yield offset, notice
        self.done = max(self.done, self.due)
        after, self._after_those_owed = self._after_those_owed, []
        for offset, notice in after:
            self._keep(offset, notice)
