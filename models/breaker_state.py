"""The breaker as state."""

from __future__ import annotations

import msgspec


class BreakerWire(msgspec.Struct, array_like=True):
    """What `models.breaker.Breaker` holds, by the same names."""

    is_open: bool = False
    hour_s: float = 0.0
    active: tuple[int, int] = (0, 0)
    hit: tuple[int, int] = (0, 0)
    turns: float = 0.0
    mark: int = -1
    turn_s: float = 0.0
    turned: int = 0
    faded_s: float = 0.0
