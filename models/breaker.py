"""The blast radius: a broken upstream must end as simulated decisions, not in a mass ban."""

from __future__ import annotations

import math
from typing import Final

from models.breaker_state import BreakerWire
from models.signals import HOUR_S, MINUTE_S

#: Fewer accounts than this are no blast: in a small partition three copiers may well be a tenth.
_HIT_MIN: Final = 8
#: Requests of others that were due, going by the hour before, while only one account was heard:
#: where so many are due there are none by chance once in e^20 times.
_DUE_MAX: Final = 20.0
#: Fewer accounts than this may fall silent by themselves.
_CROWD_MIN: Final = 20
_USUAL_S: Final = HOUR_S


class Breaker:
    """Opens when decisions would hit more than an attack explains.

    There are two ways. More than a set share of the accounts that were active within the hour
    would be hit within the hour. Or all others fall silent while one account is to be hit, as
    they do when a gateway calls everybody by one name.
    """

    __slots__ = (
        "active",
        "faded_s",
        "hit",
        "hour_s",
        "is_open",
        "mark",
        "turn_s",
        "turned",
        "turns",
    )

    def __init__(self) -> None:
        #: Whether decisions are simulated, whatever the mode. Only people close it.
        self.is_open = False
        #: When the running hour began, Unix seconds; the one before it counts as well.
        self.hour_s = 0.0
        #: Accounts in the hour before, and in the running one.
        self.active = (0, 0)
        self.hit = (0, 0)
        #: Times that a request was another account's than the one before it: those up to
        #: `faded_s`, fading over an hour, and those since.
        self.turns = 0.0
        self.turned = 0
        self.faded_s = 0.0
        #: Whose requests (a hash) have been the only ones since when, Unix seconds.
        self.mark = -1
        self.turn_s = 0.0

    def see(self, mark: int, ts: float) -> None:
        """Take note of whose request it is."""
        if mark != self.mark:
            self.mark = mark
            self.turned += 1
            if ts > self.turn_s:
                self.turn_s = ts
                if ts >= self.faded_s + MINUTE_S:
                    self._fade()

    def _fade(self) -> None:
        """Let turns weigh less with time."""
        kept = math.exp((self.faded_s - self.turn_s) / _USUAL_S)
        self.turns, self.turned = self.turns * kept + self.turned, 0
        self.faded_s = self.turn_s

    def begin_account_hour(self, now_s: float) -> None:
        """Count an account that is active in a new hour."""
        self._go_on(now_s)
        self.active = (self.active[0], self.active[1] + 1)

    def strike(self, mark: int, now_s: float, share_max: float, *, is_new: bool) -> bool:
        """Judge a decision about an account; return whether the breaker is open.

        Parameters
        ----------
        mark
            The account's hash.
        now_s
            Event time, Unix seconds.
        share_max
            Accounts that may be hit within an hour, as a share (0–1) of those active.
        is_new
            Whether the account had no decision in force.
        """
        self._go_on(now_s)
        self.hit = (self.hit[0], self.hit[1] + is_new)
        is_blast = sum(self.hit) >= _HIT_MIN and sum(self.hit) > share_max * max(self.active)
        self._fade()
        # What is usual fades meanwhile: a night falls without anybody's fault.
        faded = 1 - math.exp(-max(now_s - self.turn_s, 0.0) / _USUAL_S)
        due = self.turns * faded if mark == self.mark else 0.0
        is_silence = due > _DUE_MAX and max(self.active) >= _CROWD_MIN
        self.is_open = self.is_open or is_blast or is_silence
        return self.is_open

    def close(self) -> None:
        """Mean decisions again, and count from nothing."""
        self.is_open, self.hit = False, (0, 0)

    def _go_on(self, now_s: float) -> None:
        """Go on to the hour (event time) that a time falls into."""
        if now_s < self.hour_s + HOUR_S:
            return
        is_next = now_s < self.hour_s + 2 * HOUR_S
        self.active = (self.active[1] if is_next else 0, 0)
        self.hit = (self.hit[1] if is_next else 0, 0)
        self.hour_s = now_s - now_s % HOUR_S

    def to_wire(self) -> BreakerWire:
        """Return the state as plain values."""
        return BreakerWire(
            self.is_open,
            self.hour_s,
            self.active,
            self.hit,
            self.turns,
            self.mark,
            self.turn_s,
            self.turned,
            self.faded_s,
        )

    @classmethod
    def from_wire(cls, wire: BreakerWire) -> Breaker:
        """Take up what `to_wire` returned."""
        breaker = cls()
        breaker.is_open, breaker.hour_s = wire.is_open, wire.hour_s
        breaker.active, breaker.hit = wire.active, wire.hit
        breaker.turns, breaker.turned, breaker.faded_s = wire.turns, wire.turned, wire.faded_s
        breaker.mark, breaker.turn_s = wire.mark, wire.turn_s
        return breaker
