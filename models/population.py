"""What is known of everybody together: how far honest account days reach, and the catalogue."""

from __future__ import annotations

import datasketches
import msgspec

from models.calibration import BELIEF_ACCOUNT_DAYS, RUNGS, Tail
from models.config import DetectionConfig
from models.scenarios import SCENARIOS, Scenario
from models.signals import Signal

#: 1.6 % error in a kilobyte: the catalogue's size only scales a share in the evidence.
_CATALOGUE_LG_K = 11
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
    catalogue: bytes


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
        shares = max(len(self.signals), 1)
        #: Budgets are shared out evenly: if each signal errs independently their sum holds.
        self._p_throttle = config.false_throttles_per_1000_account_days / 1_000 / shares
        self._p_ban = config.false_bans_per_100000_account_days / 100_000 / shares
        self._catalogue_size = config.catalogue_size
        self._catalogue = datasketches.hll_sketch(_CATALOGUE_LG_K, datasketches.HLL_4)
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
        """Pairs in the catalogue: as told, else those seen so far (±2 %)."""
        return self._catalogue_size or max(round(self._catalogue.get_estimate()), 1)

    def see_pairs(self, pairs: list[int]) -> None:
        """Take note that these pairs (hashes) exist."""
        update = self._catalogue.update
        for pair in pairs:
            update(pair)

    def begin_account_day(self, day: int) -> None:
        """Count an account's day (days since 1970, UTC) that begins with a request."""
        if day > self._day:
            if self._day:
                for tail in self.tails:
                    tail.fade()
                self._refit_at = 0.0
            self._day = day
        for tail in self.tails:
            tail.begin_day()
        if self.tails and self.tails[0].days >= self._refit_at:
            self._refit()

    def _refit(self) -> None:
        self.levels = [
            (tail.level(self._p_throttle), tail.level(self._p_ban)) for tail in self.tails
        ]
        if self.tails:
            self._refit_at = self.tails[0].days + _REFIT_ACCOUNT_DAYS

    def to_bytes(self) -> bytes:
        """Encode everything that later judgements depend on."""
        return msgspec.msgpack.encode(
            _Wire(
                day=self._day,
                refit_at=self._refit_at,
                tails={
                    tail.signal.code: _TailWire(
                        tail.days,
                        {k: count for k, count in enumerate(tail.reached) if count},
                        levels,
                    )
                    for tail, levels in zip(self.tails, self.levels, strict=True)
                },
                catalogue=self._catalogue.serialize_compact(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Take up what `to_bytes` encoded; a signal that is new since then starts from belief."""
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self._day, self._refit_at = wire.day, wire.refit_at
        for i, tail in enumerate(self.tails):
            if known := wire.tails.get(tail.signal.code):
                tail.days = known.days
                tail.reached = [known.reached.get(k, 0.0) for k in range(RUNGS)]
                self.levels[i] = known.levels
        self._catalogue = datasketches.hll_sketch.deserialize(wire.catalogue)
