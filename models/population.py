"""What is known of everybody together: how far honest account days reach, and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from models.calibration import BELIEF_ACCOUNT_DAYS, DAY_FADING, RUNGS, Tail
from models.config import DetectionConfig
from models.pace import Pace
from models.popularity import Popularity
from models.population_state import (
    DigestError,
    DigestWire,
    GetRow,
    PopulationWire,
    Rows,
    TailWire,
)
from models.scenarios import SCENARIOS, Scenario
from models.signals import Measure, Signal

#: Levels follow the tails at this pace, or as they grow by this share if that is slower: refitting
#: costs as much as judging a hundred requests.
_REFIT_ACCOUNT_DAYS: Final = 16
_REFIT_SHARE: Final = 0.02
#: The part of the budgets that is spent: the far end of the honest is somewhat further out than a
#: tail drawn through what is common has it, and budgets are to be kept within a factor of two.
_SPENT: Final = 0.5
#: Confirmed decisions that weigh as much as this doubt: by then people look at what is decided.
_DOUBT: Final = 20.0
#: What people call wrong makes levels at most this many times rarer: thousands of decisions that
#: one broken gateway brought are no thousand errors, and must not make everybody blind for weeks.
_TIGHTER_MAX: Final = 10.0
#: What was learned is told to other partitions no more often than this (event time).
DIGEST_EVERY_S: Final = 60.0
_DIGEST_VERSION: Final = 2


class Population:
    """The peers against whom each account is judged; one for each partition.

    Score first, then learn: a rung that a judged account reaches counts only once the account
    has been found unsuspicious there.

    Parameters
    ----------
    config
        The budgets, and which scenarios are switched on.
    """

    def __init__(self, config: DetectionConfig) -> None:
        self.signals: tuple[tuple[Scenario, Signal], ...] = tuple(
            (scenario, signal)
            for scenario in SCENARIOS
            if config.scenarios.get(scenario.name) != "off"
            for signal in scenario.signals
        )
        #: Budgets are shared out by stake, evenly within a scenario: even if each signal errs on
        #: days of its own their sum holds.
        stakes = [scenario.stake / len(scenario.signals) for scenario, _ in self.signals]
        self._shares = [stake / sum(stakes) for stake in stakes]
        self._p_throttle = config.false_throttles_per_1000_account_days / 1_000
        self._p_ban = config.false_bans_per_100000_account_days / 100_000
        self.catalogue_told = config.catalogue_size
        self.popularity = Popularity()
        self.pace = Pace()
        self.tails = [Tail(signal) for _, signal in self.signals]
        self._day = 0
        self._told_s = 0.0
        self._refit_at = 0.0
        #: Decisions that people have called wrong, and right, fading as the days do.
        self._wronged = self._right = 0.0
        #: For each signal the counts from which it asks for a throttle and for a ban.
        self.levels: list[tuple[float, float]] = []
        self._refit()

    @property
    def warm(self) -> bool:
        """Whether more has been seen than was believed beforehand; nobody is banned before."""
        return bool(self.tails) and self.tails[0].days >= BELIEF_ACCOUNT_DAYS

    @property
    def catalogue_size(self) -> int:
        """Pairs in the catalogue: as told, else those seen and those that must be there, too."""
        popularity = self.popularity
        return self.catalogue_told or max(int(popularity.pairs_seen + popularity.pairs_unseen), 1)

    def tail(self, measure: Measure, scale_s: int) -> Tail | None:
        """Return how far honest account days reach in a signal, if it is measured."""
        for tail in self.tails:
            if tail.signal.measure == measure and tail.signal.scale_s == scale_s:
                return tail
        return None

    def begin_account_day(self, day: int, *, counted: bool) -> None:
        """Take note of an account's day (days since 1970, UTC) that begins with a request.

        That of a suspect is not counted.
        """
        if day > self._day:
            if self._day:
                for tail in self.tails:
                    tail.fade()
                self._wronged *= DAY_FADING
                self._right *= DAY_FADING
                self._refit_at = 0.0
            self._day = day
        if not counted:
            return
        for tail in self.tails:
            if self._is_told(tail):
                tail.begin_day()
        if self.tails and self.tails[0].days >= self._refit_at:
            self._refit()

    def feedback(self, *, right: bool) -> None:
        """Hear that a decision about any account was right, or wrong.

        More wrong ones than the budget allows make the calibration tighter. The more are right,
        the more of the budget is spent, and never more than all of it. Both fade as days do.
        """
        if right:
            self._right += 1
        else:
            self._wronged += 1
        self._refit()

    @property
    def _spent(self) -> float:
        """The part (0–1) of the budgets that is spent, by what people have said."""
        allowed = self._p_throttle * self.tails[0].days if self.tails else 0.0
        # One more on either side: the first complaint of a small service proves little.
        tighter = min(max((self._wronged + 1) / (allowed + 1), 1.0), _TIGHTER_MAX)
        trusted = self._right / (self._right + self._wronged + _DOUBT)
        return (_SPENT + (1 - _SPENT) * trusted) / tighter

    def take_back_day(self, reached: Mapping[str, int]) -> None:
        """Unlearn an account-day that has turned out suspect: by signal code its rungs."""
        for tail in self.tails:
            tail.take_back(reached.get(tail.signal.code, -1))

    def give_back_day(self, reached: Mapping[str, int]) -> None:
        """Learn an account-day after all: people have said that it was an honest one."""
        for tail in self.tails:
            if self._is_told(tail):
                tail.begin_day()
            if (rung := reached.get(tail.signal.code, -1)) >= 0:
                tail.reach(-1, rung)
        self._refit()

    def _is_told(self, tail: Tail) -> bool:
        """Whether a day counts: one on which nothing can be told is no measure of others."""
        return tail.signal.measure != "rare_reads" or self.popularity.classes.tells

    def _refit(self) -> None:
        spent = self._spent
        self.levels = [
            tail.levels(self._p_throttle * share * spent, self._p_ban * share * spent)
            for tail, share in zip(self.tails, self._shares, strict=True)
        ]
        if self.tails:
            days = self.tails[0].days
            self._refit_at = days + max(_REFIT_ACCOUNT_DAYS, _REFIT_SHARE * days)

    def emit_digest(self, now_s: float) -> bytes | None:
        """Return what was learned since the last digest, if it is time for another.

        Called with each request it follows from the log alone when there is one and what it
        holds. At most one a minute, of at most 100 KB.

        Parameters
        ----------
        now_s
            Event time of the request that was just judged, Unix seconds.
        """
        if now_s < self._told_s + DIGEST_EVERY_S or not self.popularity.has_news:
            return None
        self._told_s = now_s
        tails = {tail.signal.code: tail.tell() for tail in self.tails}
        return msgspec.msgpack.encode(
            DigestWire(_DIGEST_VERSION, tails, self.popularity.tell(), self.pace.tell())
        )

    def merge(self, digest: bytes) -> None:
        """Learn from the accounts of another partition, what its `emit_digest` returned.

        Each digest is to be merged once, and none of this partition's own.

        Raises
        ------
        DigestError
            It is none, or of a newer version; nothing was learned.
        """
        try:
            told = msgspec.msgpack.decode(digest, type=DigestWire)
            if told.version != _DIGEST_VERSION:
                raise ValueError(f"version {told.version}; this pairwatch knows {_DIGEST_VERSION}")
            if any(not 0 <= k < RUNGS for growth in told.tails.values() for k in growth.tops):
                raise ValueError("rungs that there are none of")
            self.pace.check(told.pace)
            self.popularity.merge(told.popularity, self.catalogue_told)
            self.pace.merge(told.pace)
        except (ValueError, RecursionError) as error:
            raise DigestError(f"digest of {len(digest)} bytes: {error}") from error
        for tail in self.tails:
            if growth := told.tails.get(tail.signal.code):
                tail.merge(growth)
        if self.tails and self.tails[0].days >= self._refit_at:
            self._refit()

    def snapshot(self) -> tuple[bytes, Rows]:
        """Encode everything that later judgements depend on.

        The rows are to be written (or, where `None`, removed) before the bytes that refer to
        them.
        """
        popularity, rows = self.popularity.snapshot()
        tails = {
            tail.signal.code: TailWire(
                days=tail.days,
                tops=tail.tops,
                levels=levels,
                untold=tail.untold,
            )
            for tail, levels in zip(self.tails, self.levels, strict=True)
        }
        wire = PopulationWire(
            self._day,
            self._refit_at,
            tails,
            popularity,
            self._told_s,
            self._wronged,
            self.pace.to_wire(),
            self._right,
        )
        return msgspec.msgpack.encode(wire), rows

    def restore(self, data: bytes, get: GetRow) -> None:
        """Take up a snapshot; a signal that is new since then starts from belief."""
        wire = msgspec.msgpack.decode(data, type=PopulationWire)
        self._day, self._refit_at, self._told_s = wire.day, wire.refit_at, wire.told_s
        self._wronged, self._right = wire.wronged, wire.right
        for i, tail in enumerate(self.tails):
            if known := wire.tails.get(tail.signal.code):
                tail.restore(known.days, known.tops, known.untold)
                self.levels[i] = known.levels
        self.popularity.restore(wire.popularity, get)
        self.pace.restore(wire.pace)
