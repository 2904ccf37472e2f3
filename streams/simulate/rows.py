"""Requests as columns: what kinds and attacks produce, and what events are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_args

import numpy as np

from models.request import Action
from streams.simulate.draws import Flags, Floats, Ints

ACTIONS: tuple[Action, ...] = get_args(Action)
GENERATE, VIEW, DOWNLOAD, LIST, SEARCH, OTHER = range(6)
#: The owner of mixed or no pairs.
NOBODY = -1


@dataclass
class Rows:
    """Requests, one in each row.

    `slot` and `owner` are positions in the table of accounts; the pairs of row *i* are the next
    `counts[i]` of `pairs`. `attack` marks what an attack did: for the labels, never in an event.
    """

    slot: Ints
    ts: Floats
    action: Ints
    owner: Ints
    address: Ints
    fingerprint: Ints
    device: Ints
    counts: Ints
    pairs: Ints
    status: Ints
    slowdown: Floats
    attack: Flags

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, order: Ints | Flags) -> Rows:
        """Return rows by position or by mask, each with its pairs."""
        if order.dtype == np.bool_:
            order = np.flatnonzero(order)
        counts = self.counts[order]
        starts = (np.cumsum(self.counts) - self.counts)[order]
        pairs = self.pairs[np.repeat(starts, counts) + ragged_arange(counts)]
        columns = {
            field.name: getattr(self, field.name)[order]
            for field in fields(self)
            if field.name not in ("counts", "pairs")
        }
        return Rows(**columns, counts=counts, pairs=pairs)

    def without_pairs(self, failed: Flags) -> None:
        """Empty the answers of rows that failed."""
        self.pairs = self.pairs[~np.repeat(failed, self.counts)]
        self.counts = np.where(failed, 0, self.counts)
        self.owner = np.where(failed, NOBODY, self.owner)


def new_rows(
    slot: Ints,
    ts: Floats,
    action: Ints,
    *,
    owner: Ints,
    address: Ints,
    fingerprint: Ints,
    device: Ints,
    counts: Ints,
    pairs: Ints,
    attack: bool = False,
) -> Rows:
    """Make rows that all went well."""
    count = len(slot)
    return Rows(
        slot=slot,
        ts=ts,
        action=action,
        owner=owner,
        address=address,
        fingerprint=fingerprint,
        device=device,
        counts=counts,
        pairs=pairs,
        status=np.full(count, 200, dtype=np.int64),
        slowdown=np.ones(count),
        attack=np.full(count, attack, dtype=np.bool_),
    )


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Put rows behind one another."""
    return Rows(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Rows)
        }
    )


def ragged_arange(counts: Ints) -> Ints:
    """Count 0 … n−1 for each n.

    >>> ragged_arange(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) - np.repeat(starts, counts), dtype=np.int64)


def running_sum(amounts: Floats, counts: Ints) -> Floats:
    """Add up within each run of `counts` amounts, exact to a millionth.

    In whole millionths, so that no rounding error depends on the runs before: what others do
    shifts nobody's times.

    >>> running_sum(np.array([1.0, 2.5, 4.0]), np.array([2, 1])).tolist()
    [1.0, 3.5, 4.0]
    """
    millionths = np.round(amounts * 1e6).astype(np.int64)
    total = np.cumsum(millionths)
    runs = counts[counts > 0]
    before = (total - millionths)[np.cumsum(runs) - runs]
    return np.asarray((total - np.repeat(before, runs)) / 1e6, dtype=np.float64)
