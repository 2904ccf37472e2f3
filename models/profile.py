"""What is remembered of one account."""

from __future__ import annotations

from typing import Final

import datasketches
import msgspec

from models.facts import Client
from models.habit import Habit
from models.hashing import Hash64
from models.policy import Standing
from models.profile_state import VERSION, ProfileWire, StateError, StateVersionError
from models.recent import RecentRequests
from models.signals import CODES, DAY_S, MINUTE_S, SCALES_S
from models.window import EVIDENCE, PASSED, PATIENCE, Heights, Window

#: Sketch sizes (bits of register index): 3 % error over a life, 4 % over a day, and exact while
#: there are few. Together they are half of the two kilobytes that a profile may take.
_LIFE_LG_K: Final = 10
_DAY_LG_K: Final = 9
#: Request ids kept as samples for the evidence: as many of the latest as fit in these bytes, which
#: is what the rest of a profile leaves of the two kilobytes.
_SAMPLES_MAX: Final = 10
_SAMPLES_BYTES_MAX: Final = 76

#: Requests of a banned account that are judged in full in each minute: one a second, by which it
#: stays far beyond all that a day's levels allow. What comes beyond adds nothing to that.
NEEDED_PER_MINUTE: Final = 60

#: What is left of the evidence from one day to the next: a week later it is half.
_RARE_FADING: Final = 0.9

_NO_RUNGS: Final = [-1] * len(CODES)
#: What is kept of each window behind the choices: no signal looks at the others.
_LAST: Final = (EVIDENCE, PASSED, PATIENCE)
#: From here on a hash is handed to a sketch as the float that it takes such an integer for: to
#: find that out by itself takes the sketch eight times as long, for half of all pairs.
_AS_FLOAT: Final = 2**63
#: Constants, which need not be looked up.
_encode: Final = msgspec.msgpack.Encoder().encode
_update: Final = datasketches.hll_sketch.update
_estimate: Final = datasketches.hll_sketch.get_estimate


class Profile:
    """One account's counts, sketches, habits and standing.

    Windows of a minute, an hour and a day tumble in event time, aligned to UTC: `windows[i]` is
    that of `SCALES_S[i]`.

    Parameters
    ----------
    first_s
        Event time of the first request, Unix seconds.
    """

    __slots__ = (
        "_standing",
        "chosen_number",
        "chosen_s",
        "first_s",
        "gap_s",
        "habit_choices",
        "habit_requests",
        "held_until_s",
        "is_changed",
        "is_loud",
        "leeway",
        "life",
        "life_pairs",
        "mark",
        "met",
        "rare",
        "rare_height",
        "read",
        "recent",
        "returned_to",
        "rungs",
        "samples",
        "taken_back",
        "today",
        "trusted_from_s",
        "windows",
    )

    def __init__(self, first_s: float, mark: int) -> None:
        self.first_s = first_s
        #: The account's hash, as the pairs' popularity knows it.
        self.mark = mark
        self.windows = [Window(scale_s) for scale_s in SCALES_S]
        #: For each of `CODES` the highest rung reached today, -1 below the first.
        self.rungs = _NO_RUNGS.copy()
        #: The running count of pairs read as a copier reads them; never below zero.
        self.rare = 0.0
        self.rare_height = 1.0
        #: The choices behind it, since it last was zero.
        self.read = 0.0
        self.life = datasketches.hll_sketch(_LIFE_LG_K, datasketches.HLL_4)
        self.life_pairs = 0.0
        self.today = datasketches.hll_sketch(_DAY_LG_K, datasketches.HLL_4)
        self.recent = RecentRequests()
        #: When it made its latest choice, and the number that the pair's id ends in.
        self.chosen_s = 0.0
        self.chosen_number: int | None = None
        #: How long after the one before.
        self.gap_s = 0.0
        #: The popular pair (its hash's lower half) that it came back to last.
        self.returned_to = 0
        #: Whether the population has unlearned the running day.
        self.taken_back = False
        self.samples: list[str] = []
        self.habit_requests, self.habit_choices = Habit(), Habit()
        self.standing = Standing()
        #: Whether what it chose spoke for a copier when it was told of last, see `Activities`.
        self.is_loud = False
        #: Whether it is other than its latest snapshot.
        self.is_changed = False

    @property
    def standing(self) -> Standing:
        """Where the account stands; what changes in it by itself concerns those below not."""
        return self._standing

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._standing = standing
        # What every request asks for: from when on (Unix seconds) nothing is in force, and others
        # may be judged by what it does; and how many times the usual people have granted it.
        self.held_until_s = standing.expires_s if standing.action != "none" else 0.0
        self.trusted_from_s = standing.trusted_from_s
        self.leeway = standing.leeway
        #: What tied it to others when that was taken note of last, while something is in force.
        self.met: Client | None = None

    def begins_day(self, ts: float) -> bool:
        """Whether a request at `ts` is the first of a new day (UTC)."""
        return ts >= self.windows[-1].start_s + DAY_S

    def is_excess(self, ts: float) -> bool:
        """Whether a request at `ts` is more of a flood than it takes to judge it.

        So it is once the account has made enough requests in the minute, and a ban is in force
        that can't be prolonged yet, nor for being ignored, since nothing has been refused: no
        decision can follow. It is told by what was decided and what the account did alone.
        """
        standing = self.standing
        return (
            standing.action == "ban"
            and standing.refused == 0
            and ts < standing.half_way_s
            and self.has_made(NEEDED_PER_MINUTE, ts)
        )

    def has_made(self, requests: int, ts: float) -> bool:
        """Whether the account has made so many requests in the minute of `ts`."""
        minute = self.windows[0]
        return minute.requests >= requests and minute.start_s <= ts < minute.start_s + MINUTE_S

    def close_day(self, ts: float, *, learn: bool) -> None:
        """End the running day before a request at `ts`: it becomes habit unless it was suspect."""
        day = self.windows[-1]
        if day.requests:
            if learn:
                self.habit_requests.learn_one(day.requests)
                self.habit_choices.learn_one(day.choices)
            left = _RARE_FADING ** ((ts - day.start_s) // DAY_S)
            self.rare *= left
            self.read *= left
        self.rare_height = 1.0
        for window in self.windows:
            window.look_afresh()
        self.rungs = _NO_RUNGS.copy()
        self.taken_back = False
        self.today = datasketches.hll_sketch(_DAY_LG_K, datasketches.HLL_4)
        self.samples.clear()

    def see_pairs(self, pairs: list[Hash64], *, today: bool) -> float:
        """Take note of pairs (hashes) of other accounts; return how many were new to this one.

        Those that belong to an earlier day are none of `today`'s.

        The count comes from a sketch: exact for the first fifty, then within 3 % of the life
        total (HyperLogLog with the historic inverse probability estimator; Ting 2014).
        """
        life = self.life
        for pair in pairs:
            item = float(pair) if pair >= _AS_FLOAT else pair
            _update(life, item)
            if today:
                _update(self.today, item)
        before, self.life_pairs = self.life_pairs, _estimate(life)
        return self.life_pairs - before

    def weigh(self, copied: float) -> None:
        """Add a choice and how many reads of a copier it amounts to (below 0: against one)."""
        self.rare += copied
        if self.rare <= 0:
            self.rare = self.read = 0.0
        else:
            self.read += 1

    @property
    def copied_share(self) -> float:
        """The part (0–1) of the choices behind `rare` that it amounts to; of people about 0."""
        return min(self.rare / self.read, 1.0) if self.read else 0.0

    def count(
        self,
        ts: float,
        requests: int,
        load: float,
        new_pairs: float,
        choices: int,
        evidence: float,
        patience: float = 0.0,
    ) -> None:
        """Count in the window of each scale that the time falls into."""
        for window in self.windows:
            window.count(ts, requests, load, new_pairs, choices, evidence, patience)

    @property
    def reached(self) -> dict[str, int]:
        """Signal code → highest rung reached today."""
        return {code: rung for code, rung in zip(CODES, self.rungs, strict=True) if rung >= 0}

    @reached.setter
    def reached(self, reached: dict[str, int]) -> None:
        self.rungs = [reached.get(code, -1) for code in CODES]

    @property
    def is_raised(self) -> bool:
        """Whether some heights are those of a suspicious window."""
        return any(window.calm is not None for window in self.windows)

    def calm_down(self) -> None:
        """Look at the counts of suspicious windows at the usual heights again."""
        for window in self.windows:
            window.calm_down()

    def excuse(self) -> None:
        """Hold nothing against the account that it has done so far."""
        for window in self.windows:
            window.excuse()
        self.rare = self.read = 0.0
        self.rare_height = 1.0

    def add_sample(self, request_id: str) -> None:
        """Keep a request's id as an example, dropping the oldest beyond the bound."""
        samples = self.samples
        samples.append(request_id)
        while (
            len(samples) > _SAMPLES_MAX
            or sum(len(sample.encode()) for sample in samples) > _SAMPLES_BYTES_MAX
        ):
            del samples[0]

    def requests_on(self, day: int) -> float:
        """Return the requests so far of a day (since 1970, UTC); 0 of any but the running one."""
        window = self.windows[-1]
        return window.requests if window.start_s == day * DAY_S else 0.0

    @property
    def pairs_today(self) -> int:
        """Distinct pairs of other accounts read today (±4 %)."""
        return int(self.today.get_estimate() + 0.5)

    def to_bytes(self) -> bytes:
        """Encode the profile: numbers and sketches, at most 2 KB."""
        windows: list[list[int | float]] = []
        heights: list[list[float]] = []
        calm: list[list[float] | None] = []
        for n, window in enumerate(self.windows):
            last, usual = _LAST[n], window.calm
            windows.append(window.to_wire(last))
            heights.append(window.heights.to_wire(last))
            calm.append(None if usual is None else usual.to_wire(last))
        return _encode(
            ProfileWire(
                version=VERSION,
                first_s=self.first_s,
                windows=windows,
                heights=heights,
                calm=calm,
                reached=bytes([rung + 1 for rung in self.rungs]),
                taken_back=self.taken_back,
                rare=self.rare,
                rare_height=self.rare_height,
                read=self.read,
                life=self.life.serialize_compact(),
                today=self.today.serialize_compact(),
                recent=self.recent.to_wire(),
                samples=self.samples,
                habit_requests=(self.habit_requests.days, self.habit_requests.mean_log),
                habit_choices=(self.habit_choices.days, self.habit_choices.mean_log),
                standing=self.standing,
                choice=(self.chosen_s, self.chosen_number, self.returned_to),
                gap_ms=round(1_000 * self.gap_s),
                is_loud=self.is_loud,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, mark: int) -> Profile:
        """Take up what `to_bytes` encoded.

        Raises
        ------
        StateError
            The bytes are no profile, or a newer one than this code knows (`StateVersionError`).
        """
        try:
            return cls._from_bytes(data, mark)
        except StateError:
            raise
        except (ValueError, IndexError, TypeError, RecursionError) as error:
            raise StateError(f"no profile, {error!r:.200}") from None

    @classmethod
    def _from_bytes(cls, data: bytes, mark: int) -> Profile:
        wire = msgspec.msgpack.decode(data, type=ProfileWire)
        if wire.version > VERSION:
            raise StateVersionError(
                f"profile of version {wire.version}; this pairwatch knows up to {VERSION}"
            )
        profile = cls(wire.first_s, mark)
        kept = zip(profile.windows, wire.windows, wire.heights, wire.calm, _LAST, strict=True)
        for window, counts, heights, calm, last in kept:
            window.restore(counts, last)
            window.heights.restore(heights, last)
            if calm is not None:
                window.calm = Heights()
                window.calm.restore(calm, last)
        # Of signals that a later version knows nothing is reached yet.
        rungs = [rung - 1 for rung in wire.reached]
        profile.rungs = rungs + _NO_RUNGS[len(rungs) :]
        profile.taken_back = wire.taken_back
        profile.rare, profile.rare_height = wire.rare, wire.rare_height
        profile.read = wire.read
        profile.life = datasketches.hll_sketch.deserialize(wire.life)
        profile.life_pairs = profile.life.get_estimate()
        profile.today = datasketches.hll_sketch.deserialize(wire.today)
        profile.recent.restore(wire.recent)
        profile.samples = wire.samples
        profile.habit_requests.restore(*wire.habit_requests)
        profile.habit_choices.restore(*wire.habit_choices)
        profile.standing = wire.standing
        profile.chosen_s, profile.chosen_number, profile.returned_to = wire.choice
        profile.gap_s = wire.gap_ms / 1_000
        profile.is_loud = wire.is_loud
        return profile
