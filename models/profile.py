"""What is remembered of one account."""

from __future__ import annotations

import datasketches
import msgspec

from models.calibration import height_of, rung_of
from models.habit import Habit
from models.policy import Standing
from models.recent import RecentRequests
from models.signals import DAY_S, SCALES_S

#: Sketch sizes (bits of register index): 3 % error over a life, 4 % over a day, and exact while
#: there are few. Together they are half of the two kilobytes that a profile may take.
_LIFE_LG_K = 10
_DAY_LG_K = 9
#: Request ids kept as samples for the evidence: as many of the latest as fit in these bytes.
_SAMPLES_MAX = 10
_SAMPLES_BYTES_MAX = 256
#: Counts below this rung are everyday use: looking at each step there would cost time for nothing.
_RUNG_MIN = rung_of(8)

VERSION = 1


class StateVersionError(ValueError):
    """State was written by a newer version than this one."""


class _Wire(msgspec.Struct, array_like=True):
    version: int
    first_s: float
    starts_s: list[float]
    requests: list[int]
    new_pairs: list[float]
    reached: dict[str, int]
    life: bytes
    today: bytes
    recent: tuple[bytes, bytes, float, float, float]
    samples: list[str]
    habit_requests: tuple[int, float]
    habit_new_pairs: tuple[int, float]
    standing: Standing


def next_height(count: float) -> float:
    """Return the count at which the next rung worth a look is reached."""
    return height_of(max(rung_of(count) + 1, _RUNG_MIN))


class Profile:
    """One account's counts, sketches, habits and standing.

    Windows of a minute, an hour and a day tumble in event time, aligned to UTC. `requests[i]`
    and `new_pairs[i]` count in the window of `SCALES_S[i]` that began at `starts_s[i]`.

    Parameters
    ----------
    first_s
        Event time of the first request, Unix seconds.
    """

    __slots__ = (
        "first_s",
        "habit_new_pairs",
        "habit_requests",
        "life",
        "life_pairs",
        "new_pairs",
        "next_new_pairs",
        "next_requests",
        "reached",
        "recent",
        "requests",
        "samples",
        "standing",
        "starts_s",
        "today",
    )

    def __init__(self, first_s: float) -> None:
        self.first_s = first_s
        self.starts_s = [float("-inf")] * len(SCALES_S)
        self.requests = [0] * len(SCALES_S)
        self.new_pairs = [0.0] * len(SCALES_S)
        floor = next_height(0)
        self.next_requests = [floor] * len(SCALES_S)
        self.next_new_pairs = [floor] * len(SCALES_S)
        #: Signal code → highest rung reached today.
        self.reached: dict[str, int] = {}
        self.life = datasketches.hll_sketch(_LIFE_LG_K, datasketches.HLL_4)
        self.life_pairs = 0.0
        self.today = datasketches.hll_sketch(_DAY_LG_K, datasketches.HLL_4)
        self.recent = RecentRequests()
        self.samples: list[str] = []
        self.habit_requests = Habit()
        self.habit_new_pairs = Habit()
        self.standing = Standing()

    def begins_day(self, ts: float) -> bool:
        """Whether a request at `ts` is the first of a new day (UTC)."""
        return ts >= self.starts_s[-1] + DAY_S

    def close_day(self, *, learn: bool) -> None:
        """End the running day: its counts become habit unless it was suspect."""
        if learn and self.requests[-1]:
            self.habit_requests.learn_one(self.requests[-1])
            self.habit_new_pairs.learn_one(self.new_pairs[-1])
        self.reached.clear()
        self.today = datasketches.hll_sketch(_DAY_LG_K, datasketches.HLL_4)
        self.samples.clear()

    def see_pairs(self, pairs: list[int]) -> float:
        """Take note of pairs (hashes) of other accounts; return how many were new to this one.

        The count comes from a sketch: exact for the first fifty, then within 3 % of the life
        total (HyperLogLog with the historic inverse probability estimator; Ting 2014).
        """
        life, today = self.life.update, self.today.update
        for pair in pairs:
            life(pair)
            today(pair)
        before, self.life_pairs = self.life_pairs, self.life.get_estimate()
        return float(self.life_pairs - before)

    def count(self, ts: float, counted: int, new_pairs: float) -> None:
        """Count requests (0 or 1) and new pairs in the window of each scale they fall into."""
        starts_s, requests, pairs = self.starts_s, self.requests, self.new_pairs
        for i, scale_s in enumerate(SCALES_S):
            start_s = starts_s[i]
            if ts >= start_s + scale_s:
                starts_s[i] = ts - ts % scale_s
                requests[i] = counted
                pairs[i] = new_pairs
                self.next_requests[i] = self.next_new_pairs[i] = next_height(0)
            elif ts >= start_s - scale_s:
                # A window early is an ordinary delay; anything earlier belongs to windows that
                # are gone, and counting it here would make a crowd of a skewed clock.
                requests[i] += counted
                pairs[i] += new_pairs

    def add_sample(self, request_id: str) -> None:
        """Keep a request's id as an example, dropping the oldest beyond the bound."""
        samples = self.samples
        samples.append(request_id)
        while len(samples) > _SAMPLES_MAX or (
            sum(len(sample.encode()) for sample in samples) > _SAMPLES_BYTES_MAX
            and len(samples) > 1
        ):
            del samples[0]

    @property
    def pairs_today(self) -> int:
        """Distinct pairs of other accounts read today (±4 %)."""
        return int(self.today.get_estimate() + 0.5)

    def to_bytes(self) -> bytes:
        """Encode the profile: numbers and sketches, at most 2 KB."""
        return msgspec.msgpack.encode(
            _Wire(
                version=VERSION,
                first_s=self.first_s,
                starts_s=self.starts_s,
                requests=self.requests,
                new_pairs=self.new_pairs,
                reached=self.reached,
                life=self.life.serialize_compact(),
                today=self.today.serialize_compact(),
                recent=self.recent.to_wire(),
                samples=self.samples,
                habit_requests=(self.habit_requests.days, self.habit_requests.mean_log),
                habit_new_pairs=(self.habit_new_pairs.days, self.habit_new_pairs.mean_log),
                standing=self.standing,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Take up what `to_bytes` encoded.

        Raises
        ------
        StateVersionError
            The state is newer than this code.
        """
        wire = msgspec.msgpack.decode(data, type=_Wire)
        if wire.version > VERSION:
            raise StateVersionError(
                f"profile of version {wire.version}; this pairwatch knows up to {VERSION}"
            )
        profile = cls(wire.first_s)
        profile.starts_s = wire.starts_s
        profile.requests = wire.requests
        profile.new_pairs = wire.new_pairs
        profile.next_requests = [next_height(count) for count in wire.requests]
        profile.next_new_pairs = [next_height(count) for count in wire.new_pairs]
        profile.reached = wire.reached
        profile.life = datasketches.hll_sketch.deserialize(wire.life)
        profile.life_pairs = profile.life.get_estimate()
        profile.today = datasketches.hll_sketch.deserialize(wire.today)
        profile.recent = RecentRequests.from_wire(wire.recent)
        profile.samples = wire.samples
        profile.habit_requests = Habit(*wire.habit_requests)
        profile.habit_new_pairs = Habit(*wire.habit_new_pairs)
        profile.standing = wire.standing
        return profile
