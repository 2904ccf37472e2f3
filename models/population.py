"""What is known of everybody together: how far honest account days reach, and the catalogue."""

from __future__ import annotations

import msgspec

from models.calibration import BELIEF_ACCOUNT_DAYS, RUNGS, Tail
from models.config import DetectionConfig
from models.popularity import GetRow, Popularity, PopularityWire, Rows
from models.scenarios import SCENARIOS, Scenario
from models.signals import Measure, Signal

#: Levels follow the tails at this pace: refitting costs as much as judging a hundred requests.
_REFIT_ACCOUNT_DAYS = 16


class _TailWire(msgspec.Struct, array_like=True):
    days: float
    reached: dict[int, float]
    levels: tuple[float, float]


class _Wire(msgspec.Struct, array_like=True):
    day: int
    refit_at: float
    tails: dict[str, _TailWire]
    popularity: PopularityWire


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
        self.tails = [Tail(signal) for _, signal in self.signals]
        self._day = 0
        self._refit_at = 0.0
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
                self._refit_at = 0.0
            self._day = day
        if not counted:
            return
        for tail in self.tails:
            tail.begin_day()
        if self.tails and self.tails[0].days >= self._refit_at:
            self._refit()

    def _refit(self) -> None:
        self.levels = [
            (tail.level(self._p_throttle * share), tail.level(self._p_ban * share))
            for tail, share in zip(self.tails, self._shares, strict=True)
        ]
        if self.tails:
            self._refit_at = self.tails[0].days + _REFIT_ACCOUNT_DAYS

    def snapshot(self) -> tuple[bytes, Rows]:
        """Encode everything that later judgements depend on.

        The rows are to be written (or, where `None`, removed) before the bytes that refer to
        them.
        """
        popularity, rows = self.popularity.snapshot()
        tails = {
            tail.signal.code: _TailWire(
                days=tail.days,
                reached={k: count for k, count in enumerate(tail.reached) if count},
                levels=levels,
            )
            for tail, levels in zip(self.tails, self.levels, strict=True)
        }
        return msgspec.msgpack.encode(_Wire(self._day, self._refit_at, tails, popularity)), rows

    def restore(self, data: bytes, get: GetRow) -> None:
        """Take up a snapshot; a signal that is new since then starts from belief."""
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self._day, self._refit_at = wire.day, wire.refit_at
        for i, tail in enumerate(self.tails):
            if known := wire.tails.get(tail.signal.code):
                tail.days = known.days
                tail.reached = [known.reached.get(k, 0.0) for k in range(RUNGS)]
                self.levels[i] = known.levels
        self.popularity.restore(wire.popularity, get)
