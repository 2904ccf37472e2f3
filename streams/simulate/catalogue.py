"""The catalogue: pairs with owners, topics and a popularity that fades."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streams.simulate.draws import Draws, Floats, Ints

TOPICS = 40
#: Exponent and flattening of the Zipf–Mandelbrot law of attention.
ZIPF_EXPONENT = 0.9
ZIPF_FLATTENING = 8.0
#: A new pair gets this many times the attention, fading with this time constant.
FRESHNESS = 25.0
FRESHNESS_DAYS = 1.5
#: How much the order of a feed changes from day to day (spread of a pair's log-score).
FEED_NOISE = 0.3
#: Pairs made through the interface and not (yet) published are numbered from here.
PRIVATE_FROM = 1 << 47


@dataclass(frozen=True)
class Shelf:
    """The catalogue on one day: what exists, in which order feeds show it, and what is read.

    `order` holds every pair by topic and then by score; behind it, the same pairs by score alone.
    """

    size: int
    order: Ints
    topic_starts: Ints
    topic_sizes: Ints
    cumulative: Floats
    own_counts: Ints

    def slices(self, topics: Ints) -> tuple[Ints, Ints]:
        """Return start and length in `order` of each topic; −1 is the feed of everything."""
        everything = topics < 0
        known = np.where(everything, 0, topics)
        starts = np.where(everything, self.size, self.topic_starts[known])
        return starts, np.where(everything, self.size, self.topic_sizes[known])

    def popular(self, points: Floats, topics: Ints) -> Ints:
        """Choose one pair for each point in (0, 1), by attention, within a topic (−1: any)."""
        everything = topics < 0
        known = np.where(everything, 0, topics)
        starts = np.where(everything, 0, self.topic_starts[known])
        ends = np.where(everything, self.size, starts + self.topic_sizes[known])
        below = np.where(starts > 0, self.cumulative[starts - 1], 0.0)
        found = np.searchsorted(
            self.cumulative, below + points * (self.cumulative[ends - 1] - below), side="right"
        )
        return np.asarray(self.order[np.clip(found, starts, ends - 1)])


class Catalogue:
    """Every pair that exists at the end of the run, numbered in the order of publication.

    Parameters
    ----------
    draws
        Where randomness comes from.
    size
        Pairs at the start, at least 1,000.
    growth_per_day
        New pairs a day as a share of `size`; they appear at midnight UTC.
    days
        Length of the run.
    owned
        How many pairs each account that owns some wants to own, in proportion: the sum is made to
        fit.
    """

    def __init__(
        self,
        draws: Draws,
        size: int,
        growth_per_day: float,
        days: int,
        owned: Floats,
    ) -> None:
        self._draws = draws
        self._first_size = size
        self._new_per_day = round(size * growth_per_day)
        self.size = self.size_on(days - 1)
        pairs = np.arange(self.size, dtype=np.int64)
        topic_weights = (np.arange(TOPICS) + 3.0) ** -0.7
        self.topic_of = draws.pick(np.cumsum(topic_weights), "topic", pairs)
        rank = np.argsort(np.argsort(draws.uniform("rank", pairs)))
        self._log_attention = -ZIPF_EXPONENT * np.log(rank + ZIPF_FLATTENING)
        cumulative = np.cumsum(owned)
        bounds = np.floor(cumulative / cumulative[-1] * self.size).astype(np.int64)
        shuffled = np.argsort(draws.uniform("owner", pairs))
        #: Position in `owned` of each pair's owner.
        self.owner_slot = np.empty(self.size, dtype=np.int64)
        self.owner_slot[shuffled] = np.searchsorted(bounds, pairs, side="right")
        #: Pairs grouped by owner, oldest first; `own_starts` says where each owner's begin.
        self.by_owner = np.argsort(self.owner_slot, kind="stable")
        self._owner_count = len(owned)
        counts = np.bincount(self.owner_slot, minlength=len(owned))
        self.own_starts = np.cumsum(counts) - counts

    def size_on(self, day: int) -> int:
        """Return how many pairs exist on a day of the run."""
        return self._first_size + self._new_per_day * day

    def shelf(self, day: int) -> Shelf:
        """Arrange what exists on a day."""
        size = self.size_on(day)
        pairs = np.arange(size, dtype=np.int64)
        age_days = (size - pairs) / max(self._new_per_day, 1)
        score = self._log_attention[:size] + np.log1p(
            FRESHNESS * np.exp(-age_days / FRESHNESS_DAYS)
        )
        noise = -np.log(-np.log(self._draws.uniform("feed", day, pairs)))
        shown = score + FEED_NOISE * noise
        topic_of = self.topic_of[:size]
        by_topic = np.lexsort((-shown, topic_of))
        sizes = np.bincount(topic_of, minlength=TOPICS)
        return Shelf(
            size=size,
            order=np.concatenate([by_topic, np.argsort(-shown, kind="stable")]),
            topic_starts=np.cumsum(sizes) - sizes,
            topic_sizes=sizes,
            cumulative=np.cumsum(np.exp(score[by_topic])),
            own_counts=np.bincount(self.owner_slot[:size], minlength=self._owner_count),
        )

    @cached_property
    def _names(self) -> npt.NDArray[np.object_]:
        return np.array([f"p_{number:07d}" for number in range(self.size)], dtype=np.object_)

    def name_all(self, pairs: Ints) -> list[str]:
        """Return the ids of pairs, published or private."""
        private = np.flatnonzero(pairs >= self.size)
        names = self._names[np.where(pairs < self.size, pairs, 0)]
        names[private] = [f"p_{number}" for number in pairs[private].tolist()]
        found: list[str] = names.tolist()
        return found
