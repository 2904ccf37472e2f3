"""What a scenario is."""

from __future__ import annotations

import msgspec

from models.signals import Signal


class Scenario(msgspec.Struct, frozen=True):
    """A named behaviour and the signals that give it away.

    Parameters
    ----------
    name
        As it stands in decisions and settings, such as `catalogue-sweep`.
    signals
        What speaks for it.
    stake
        Its part of the false-alarm budget, in proportion to those of the other scenarios that
        are switched on: more where patience is what it takes to see.
    """

    name: str
    signals: tuple[Signal, ...]
    stake: float
