"""The pairs of other people that an account was given, counted in bounded space."""

from __future__ import annotations

import datasketches

from models.request import Request

#: Bits of register index: exact for the first dozens, then within 3 %, in about 600 bytes.
_LG_K = 10


def pairs_of_others(request: Request) -> list[str]:
    """Return the pairs that a request was given and that count as read.

    The same ones as in a decision's evidence: what was refused, what the request itself made and
    what belongs to the account is nobody's loss.
    """
    if request.status >= 400 or request.action == "generate":
        return []
    return [] if request.owner_id == request.account_id else request.pair_ids


class DistinctPairs:
    """Counts the distinct pairs that requests of one account were given.

    HyperLogLog with the historic inverse probability estimator (Ting 2014), which never falls.

    Examples
    --------
    >>> pairs = DistinctPairs()
    >>> for number, pair in enumerate(["p_1", "p_2", "p_1"]):
    ...     pairs.see(Request(0.0, f"r_{number}", "ann", "view", [pair]))
    >>> pairs.count
    2
    """

    __slots__ = ("_sketch",)

    def __init__(self) -> None:
        self._sketch = datasketches.hll_sketch(_LG_K, datasketches.HLL_4)

    def see(self, request: Request) -> None:
        """Count a request's pairs."""
        for pair in pairs_of_others(request):
            self._sketch.update(pair)

    @property
    def estimate(self) -> float:
        """How many there were, before rounding."""
        return float(self._sketch.get_estimate())

    @property
    def count(self) -> int:
        """How many there were."""
        return round(self.estimate)
