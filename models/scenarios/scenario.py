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
        What speaks for it. The false-alarm budget is shared out over the signals of all
        scenarios that are switched on.
    """

    name: str
    signals: tuple[Signal, ...]
