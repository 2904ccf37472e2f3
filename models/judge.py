"""What a request says about its account: scores it first, and then learns from it."""

from __future__ import annotations

import math
from typing import Final

from models.calibration import HEIGHTS, rung_of
from models.facts import Facts
from models.hashing import Hash64, hash64
from models.pace import ACT_S, number_of
from models.policy import Finding
from models.population import Population
from models.profile import Profile
from models.signals import CODES, DAY_S, SCALES_S, Measure, Signal
from models.verdict import Exceedance
from models.window import CHOICES, EVIDENCE, LOAD, NEW_PAIRS, PASSED, PATIENCE

#: An account may always do this many times its own habit …
_HABIT_TIMES: Final = 5.0
#: … up to this many times the level for everybody: a habit grown on purpose buys no more. Who reads
#: what people read may open as many: it is coverage that makes a copier.
_LEEWAY_MAX: Final = 4.0
#: Days after which an account has a habit.
_HABIT_DAYS: Final = 7
#: Choices of one account that the population learns from in a day, so that nobody dominates it.
_CHOICES_LEARNED_MAX: Final = 20
#: The same for the pairs it was shown or chose; heavy readers see a few thousand.
_PAIRS_LEARNED_MAX: Final = 500
#: The part of the level at which an account's reads are not those of people: they are no longer
#: learned from. Much lower, and
#: those who happen to read rare pairs would be missing among the honest.
_RARE_LEARNED_MAX: Final = 0.25
#: What a request weighs whose response was the customer's own pairs, or that the service failed
#: to answer: nobody is a flood for fetching what is theirs, or for trying again in an outage.
_LIGHT: Final = 0.02
#: The part of an account's reads that must look like copying before it is throttled, banned: a
#: person who reads very much drifts, a copier means it.
_COPIED_THROTTLE: Final = 0.5
_COPIED_BAN: Final = 0.75
#: So many times what a pair says is the most that keeping time adds: while little is known of the
#: pairs it says as little, or the first hours of a service would be against every machine.
_EVEN_TIMES: Final = 3.0
#: Of a pair's hash, what a profile has room for.
_PAIR_BITS: Final = 0xFFFF_FFFF
#: What one account day in twenty reaches is worth telling beside what is beyond its level.
_WORTH_TELLING: Final = 0.05

#: In the order in which they are looked at.
_PLACE: dict[Measure, int] = {
    "requests": LOAD,
    "new_pairs": NEW_PAIRS,
    "choices": CHOICES,
    "evidence": EVIDENCE,
    "patience": PATIENCE,
    "passed": PASSED,
}
#: Sets of measures: a bit each, from `LOAD` on.
_SETS: Final = 64


class _Gauge:
    """What there is to know of a signal to judge its count.

    Parameters
    ----------
    at
        Its index among the signals.
    signal
        The signal.
    rare_at
        The index of the one that tells whether an account reads as people do, if it is judged.
    """

    __slots__ = ("at", "has_habit", "is_excused", "is_rare", "of_requests", "place", "rung_at")

    def __init__(self, at: int, signal: Signal, rare_at: int | None) -> None:
        self.at = at
        self.is_rare = at == rare_at
        #: Where its count stands in a window, and its rung among a profile's.
        self.place = _PLACE.get(signal.measure, -1)
        self.rung_at = CODES.index(signal.code)
        #: Whether a habit widens its level: that of requests, or of choices.
        self.of_requests = signal.measure == "requests"
        self.has_habit = signal.scale_s == DAY_S and signal.measure in ("requests", "choices")
        #: Whether reading as people do does.
        self.is_excused = signal.measure == "choices" and rare_at is not None


class Judge:
    """Measures accounts against their peers.

    Parameters
    ----------
    population
        The peers; it learns from what is found unsuspicious.
    """

    def __init__(self, population: Population) -> None:
        self.population = population
        self._popularity, self._pace = population.popularity, population.pace
        self._classes = population.popularity.classes
        #: How many times the usual is to be expected: more than 1 during a planned event.
        self.tolerance = 1.0
        signals = [signal for _, signal in population.signals]
        at = {(signal.measure, signal.scale_s): n for n, signal in enumerate(signals)}
        rare_at = at.get(("rare_reads", DAY_S))  # kept beyond the day's window
        self._gauges = [_Gauge(n, signal, rare_at) for n, signal in enumerate(signals)]
        self._rare = None if rare_at is None else self._gauges[rare_at]
        #: For each window, and each set of measures that are due there, where to look.
        self._due = [
            [
                [
                    self._gauges[at[measure, scale_s]]
                    for measure, place in _PLACE.items()
                    if due & 1 << place - LOAD and (measure, scale_s) in at
                ]
                for due in range(_SETS)
            ]
            for scale_s in SCALES_S
        ]

    def judge(
        self,
        profile: Profile,
        request: Facts,
        pairs: list[Hash64],
        looks: list[int],
        *,
        counted: bool,
    ) -> bool:
        """Score a request, then learn from it; return whether the account is suspicious now.

        Parameters
        ----------
        profile
            The account's.
        request
            The request.
        pairs
            Hashes of other people's pairs that it was given, see `foreign_pairs`.
        looks
            What the popularity finds at each of them if they were chosen, else nothing.
        counted
            Whether it is known to be no repeat.
        """
        ts = request.ts
        held = ts < profile.held_until_s
        teaches = not held and ts >= profile.trusted_from_s
        if profile.begins_day(ts):
            unsuspected = profile.standing.expires_s < profile.windows[-1].start_s
            profile.close_day(ts, learn=unsuspected and teaches)
            self.population.begin_account_day(int(ts // DAY_S), counted=teaches)
            profile.taken_back = not teaches
        # What went on while a decision held is looked at afresh.
        if not held and profile.is_raised:
            profile.calm_down()
        new_pairs, choices, evidence, patience = 0.0, 0, 0.0, 0.0
        if pairs:
            today = counted or ts >= profile.windows[-1].start_s
            new_pairs = profile.see_pairs(pairs, today=today)
            classes = self._classes
            for n, look in enumerate(looks):  # none unless chosen
                if look >= 0:
                    choices += 1
                    evidence += classes.tenths[look] / 10
                    profile.weigh(classes.copied[look])
                elif classes.tenths[~look] < 0 and pairs[n] & _PAIR_BITS != profile.returned_to:
                    # Heavy readers are the last ones at most of what is popular: it still speaks
                    # for a person. What is rare says nothing, nor one favourite again and again.
                    profile.returned_to = pairs[n] & _PAIR_BITS
                    profile.weigh(classes.copied[~look])
                    patience += classes.tenths[~look] / 10
            honest = teaches and self._reads_like_people(profile)
            if choices:
                pace, even = self._follow(profile, request, honest=honest)
                # Customers' machines keep time, too: it says the more of what the pairs say.
                if even > 0:
                    even = math.copysign(min(even, _EVEN_TIMES * abs(evidence)), evidence)
                patience += evidence + even
                evidence = pace + (evidence if classes.tells else 0.0)
            if counted:
                self._learn(profile, pairs, chosen=bool(looks), honest=honest)
        load = (_LIGHT if _is_light(request) else 1.0) if counted else 0.0
        profile.count(ts, int(counted), load, new_pairs, choices, evidence, patience)
        leeway = self.tolerance * profile.leeway
        suspicious = False
        for i, window in enumerate(profile.windows):
            for gauge in self._due[i][window.due()]:
                height = self._climb(profile, gauge, window.at(gauge.place), leeway, learn=teaches)
                if height > 0:
                    window.heights.put(gauge.place, height)
                else:
                    suspicious = True
                    window.raise_height(gauge.place, -height)
        rare = self._rare
        if rare is not None and profile.rare >= profile.rare_height:
            height = self._climb(profile, rare, profile.rare, leeway, learn=teaches)
            profile.rare_height = abs(height)
            suspicious |= height < 0
        if suspicious or not choices or held:
            return suspicious
        copied_level = self._rare_level * leeway
        return profile.rare >= copied_level and profile.copied_share >= _COPIED_THROTTLE

    def count(self, profile: Profile, request: Facts, *, chosen: bool) -> None:
        """Count a request that is in excess of what judging its account takes."""
        profile.count(request.ts, 1, _LIGHT if _is_light(request) else 1.0, 0.0, 0, 0.0)
        self.note(profile, request, chosen=chosen)

    def note(self, profile: Profile, request: Facts, *, chosen: bool) -> None:
        """Note who read a pair last, or made it, and nothing else: others are judged by that."""
        if chosen:
            self._learn(profile, foreign_pairs(request), chosen=True, honest=False)
        else:
            self.own(profile, request)

    def own(self, profile: Profile, request: Facts) -> None:
        """Remember that what an account generates is its own: later requests may not say so."""
        if request.action != "generate" or request.owner_id is not None:
            return
        pairs = [hash64(pair_id) for pair_id in request.pair_ids]
        profile.see_pairs(pairs, today=False)
        self._popularity.learn(pairs, profile.mark, counted=False, chosen=True)

    @property
    def _rare_level(self) -> float:
        rare = self._rare
        return math.inf if rare is None else self.population.levels[rare.at][0]

    def _follow(self, profile: Profile, request: Facts, *, honest: bool) -> tuple[float, float]:
        """Return what it says how this choice follows the last one, and learn from it.

        In decibans: how soon it does and by which number, and how evenly.
        """
        ts, pair_ids = request.ts, request.pair_ids
        gap_s, before = ts - profile.chosen_s, profile.chosen_number
        number = number_of(pair_ids[0]) if len(pair_ids) == 1 else None
        learns = honest and profile.windows[-1].choices < _CHOICES_LEARNED_MAX
        said, even = self._pace.weigh(gap_s, before, number, profile.gap_s, learns=learns)
        profile.chosen_number = number
        if gap_s >= ACT_S:
            # In milliseconds, as it is kept.
            profile.chosen_s, profile.gap_s = ts, int(1_000 * min(gap_s, DAY_S) + 0.5) / 1_000
        return said, even

    def _learn(self, profile: Profile, pairs: list[Hash64], *, chosen: bool, honest: bool) -> None:
        day = profile.windows[-1]
        self._popularity.learn(
            pairs,
            # Whom a page shows a pair reads it under another mark: to open it then is no return.
            profile.mark if chosen else profile.mark + 1,
            self.population.catalogue_told,
            counted=honest and day.new_pairs < _PAIRS_LEARNED_MAX,
            chosen=chosen,
            weighed=chosen and honest and day.choices < _CHOICES_LEARNED_MAX,
        )

    def _climb(
        self, profile: Profile, gauge: _Gauge, count: float, leeway: float, *, learn: bool
    ) -> float:
        """Judge a signal at a new height, and learn it if it is unsuspicious.

        Returns the count at which to look again, negative if this one is beyond the level.
        """
        level, rung = self._level(profile, gauge) * leeway, rung_of(count)
        if count >= level:
            if not gauge.is_rare or profile.copied_share >= _COPIED_THROTTLE:
                return -HEIGHTS[rung + 1]
            return HEIGHTS[rung + 1]
        below = profile.rungs[gauge.rung_at]
        if rung > below:
            if learn and not profile.taken_back:
                self.population.tails[gauge.at].reach(below, rung)
                profile.rungs[gauge.rung_at] = rung
        else:
            rung = below
        height = HEIGHTS[rung + 1]
        return height if height < level else level

    def _reads_like_people(self, profile: Profile) -> bool:
        return profile.rare < _RARE_LEARNED_MAX * self._rare_level

    def _level(self, profile: Profile, gauge: _Gauge) -> float:
        """Return the count from which a signal asks for a throttle, without any leeway."""
        usual = level = self.population.levels[gauge.at][0]
        if gauge.has_habit:
            habit = profile.habit_requests if gauge.of_requests else profile.habit_choices
            if habit.days >= _HABIT_DAYS:
                level = max(level, min(_HABIT_TIMES * habit.usual, _LEEWAY_MAX * level))
        if gauge.is_excused and self._classes.tells and self._reads_like_people(profile):
            level = max(level, _LEEWAY_MAX * usual)
        return level

    def find(self, exceedances: list[Exceedance]) -> Finding:
        """Return how grave these exceedances are together."""
        return Finding(
            throttle=any(exceedance.beyond for exceedance in exceedances),
            ban=any(exceedance.ban for exceedance in exceedances),
            kinds=len({exceedance.signal.kind for exceedance in exceedances if exceedance.beyond}),
            warm=self.population.warm,
            scenario=exceedances[0].scenario.name if exceedances else "",
        )

    def exceedances(self, profile: Profile) -> list[Exceedance]:
        """Return the signals that are out of the ordinary, the least probable first."""
        found, leeway = [], self.tolerance * profile.leeway
        for gauge, (scenario, signal) in zip(self._gauges, self.population.signals, strict=True):
            observed = (
                profile.rare
                if gauge.is_rare
                else profile.windows[SCALES_S.index(signal.scale_s)].at(gauge.place)
            )
            tail = self.population.tails[gauge.at]
            probability = tail.probability(observed)
            if probability <= _WORTH_TELLING:
                level = self._level(profile, gauge) * leeway
                beyond = observed >= level
                ban_level = self.population.levels[gauge.at][1] * leeway
                ban = observed >= ban_level
                if gauge.is_rare:
                    beyond &= profile.copied_share >= _COPIED_THROTTLE
                    ban &= profile.copied_share >= _COPIED_BAN
                found.append(
                    Exceedance(
                        scenario, signal, tail, observed, probability, level, ban_level, beyond, ban
                    )
                )
        # What is beyond its level comes before what merely corroborates.
        return sorted(found, key=lambda found: (not found.beyond, found.probability))


def _is_light(request: Facts) -> bool:
    if request.status >= 500:
        return True
    owner_id = request.owner_id
    if owner_id is None:
        return False
    return owner_id == request.account_id and request.action != "generate"


def foreign_pairs(request: Facts) -> list[Hash64]:
    """Return the 64-bit hashes of other people's pairs that a request was given, each once."""
    pair_ids, owner_id = request.pair_ids, request.owner_id
    if not pair_ids or request.status >= 400 or request.action == "generate":
        return []
    if owner_id is not None and owner_id == request.account_id:
        return []
    if len(pair_ids) == 1:
        return [hash64(pair_ids[0])]
    return [hash64(pair_id) for pair_id in dict.fromkeys(pair_ids)]
