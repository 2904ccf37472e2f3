"""How an account goes about it: what ties those together who have nothing else in common."""

from __future__ import annotations

import math
from typing import Final

from models.pace import ACT_S

#: Downloads, times, the sums of their logarithms and of the squares, and the latest choice.
MannerWire = tuple[int, int, float, float, float]

#: The type of the link that it makes.
LINK: Final = "manner"
#: Who stays away for longer sits down anew: the time says nothing of the pace.
_SITTING_S: Final = 1800.0
#: Faster than this on average nobody looks at what they open, and slower nobody sits before it,
#: seconds.
_FAST_S: Final = 2.0
_SLOW_S: Final = 64.0
#: The spread of people's times between choices is an octave or two (standard deviation).
_EVEN_OCTAVES: Final = 0.6
#: Parts (0–1) of steps in one direction, of requests that open pairs, of choices that are
#: downloads.
_ONE_WAY: Final = 0.9
_SOME: Final = 0.6
_ONLY: Final = 0.9
_MOSTLY: Final = 0.5
#: Fewer than so many steps or times have no direction or spread yet.
_FEW: Final = 6

_log2: Final = math.log2


class Manner:
    """The pace and the mix of one account's choices on one day."""

    __slots__ = ("downloads", "gaps", "last_s", "octaves", "squares")

    def __init__(self) -> None:
        #: Choices that were downloads.
        self.downloads = 0
        #: Times between choices within a sitting: how many, and the sums of their logarithms to
        #: base 2 (of seconds) and of the squares of these.
        self.gaps = 0
        self.octaves = 0.0
        self.squares = 0.0
        #: Event time of the latest choice, Unix seconds.
        self.last_s = 0.0

    def note(self, ts: float, *, download: bool) -> None:
        """Take note of a choice at `ts`."""
        gap_s, self.last_s = ts - self.last_s, ts
        self.downloads += download
        if ACT_S <= gap_s < _SITTING_S:
            octaves = _log2(gap_s)
            self.gaps += 1
            self.octaves += octaves
            self.squares += octaves * octaves

    def link(
        self, opened: int, turned: int, steps_up: int, steps: int, requests: float, *, new: bool
    ) -> str:
        """Return the link of all who go about it alike.

        There are few such classes, and each is wide, so that an account stays in one: alone they
        accuse nobody.

        Parameters
        ----------
        opened, turned, requests
            Pairs opened on the day, pages turned without, and all requests.
        steps_up, steps
            How many of its choices came, by their ids, after the one before; and of how many.
        new
            Whether the account is: who prepares a copy together joins together.

        Examples
        --------
        >>> Manner().link(20, 0, 10, 19, 30, new=False)
        'manner:opens-some/no-order/people-pace/uneven/views/known'
        """
        mean = self.octaves / self.gaps if self.gaps else math.log2(_FAST_S)
        spread = self.squares / self.gaps - mean**2 if self.gaps >= _FEW else math.inf
        one_way = steps_up / steps if steps >= _FEW else 0.5
        part = opened / max(requests, 1.0)
        opens = "opens-only" if part >= _ONLY else "opens-some" if part >= _SOME else "opens-few"
        pace = "slow" if mean >= math.log2(_SLOW_S) else "people-pace"
        return f"{LINK}:" + "/".join(
            (
                "turns-pages" if turned >= _ONLY * (opened + turned) else opens,
                "up" if one_way > _ONE_WAY else "down" if one_way < 1 - _ONE_WAY else "no-order",
                "fast" if mean < math.log2(_FAST_S) else pace,
                "even" if spread < _EVEN_OCTAVES**2 else "uneven",
                "downloads" if self.downloads > _MOSTLY * opened else "views",
                "new" if new else "known",
            )
        )

    def to_wire(self) -> MannerWire:
        """Return the state as plain values."""
        return self.downloads, self.gaps, self.octaves, self.squares, self.last_s

    @classmethod
    def from_wire(cls, wire: MannerWire) -> Manner:
        """Take up what `to_wire` returned."""
        manner = cls()
        manner.downloads, manner.gaps, manner.octaves, manner.squares, manner.last_s = wire
        return manner


def is_manner(link: str) -> bool:
    """Whether a link says only how accounts go about it."""
    return link.startswith(f"{LINK}:")
