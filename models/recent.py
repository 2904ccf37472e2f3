"""Which requests have been counted already, in bounded space and without ever counting twice."""

from __future__ import annotations

from array import array
from typing import Final, Literal

from models.hashing import hash32

#: Requests remembered in each of two generations: shippers repeat what they sent moments ago. With
#: more, of four bytes each, a profile would not keep to its two kilobytes.
GENERATION: Final = 40
#: A constant, which need not be looked up.
_append: Final = array.append
#: An event this much older than its account's latest is too late to be told from a repeat.
LATENESS_S: Final = 3_600.0

Novelty = Literal["new", "duplicate", "late"]


class RecentRequests:
    """Tells a new request of an account from a repeated one.

    Two generations of request hashes are kept, together the last 40 to 80 requests. A request
    later than any before it can't be a repeat. One older than what the forgotten generations
    reach to can't be told from a repeat: it is `late`, and only what repeats can't change (the
    distinct pairs it has seen) may learn from it.

    Examples
    --------
    >>> recent = RecentRequests()
    >>> [recent.admit(name, ts) for name, ts in (("a", 1.0), ("b", 2.0), ("a", 1.0), ("c", 1.5))]
    ['new', 'new', 'duplicate', 'new']
    """

    __slots__ = ("_forgotten_until_s", "_latest_s", "_older", "_rotated_at_s", "_younger")

    def __init__(self) -> None:
        self._younger = array("I")
        self._older = array("I")
        self._latest_s = 0.0
        self._rotated_at_s = 0.0
        self._forgotten_until_s = 0.0

    def admit(self, request_id: str, ts: float) -> Novelty:
        """Say what a request is, and remember it if it is new."""
        mark = hash32(request_id)
        if ts <= self._latest_s:
            if mark in self._younger or mark in self._older:
                return "duplicate"
            # Ties with the latest are let through: logs with whole seconds have many of them.
            if ts < self._latest_s and (
                ts <= self._forgotten_until_s or ts < self._latest_s - LATENESS_S
            ):
                return "late"
        else:
            self._latest_s = ts
        if len(self._younger) >= GENERATION:
            # What falls out now is no younger than the latest event was when it was set aside.
            self._forgotten_until_s = self._rotated_at_s
            self._older = self._younger
            self._younger = array("I")
            self._rotated_at_s = self._latest_s
        _append(self._younger, mark)
        return "new"

    @property
    def latest_s(self) -> float:
        """Latest event time of the account, Unix seconds."""
        return self._latest_s

    def to_wire(self) -> tuple[bytes, bytes, float, float, float]:
        """Return the state as plain values."""
        return (
            self._younger.tobytes(),
            self._older.tobytes(),
            self._latest_s,
            self._rotated_at_s,
            self._forgotten_until_s,
        )

    def restore(self, wire: tuple[bytes, bytes, float, float, float]) -> None:
        """Take up what `to_wire` returned, before anything else."""
        self._younger.frombytes(wire[0])
        self._older.frombytes(wire[1])
        _, _, self._latest_s, self._rotated_at_s, self._forgotten_until_s = wire
