"""What a request says about its account: scores it first, and then learns from it."""

from __future__ import annotations

import math
from typing import Final

from models.calibration import HEIGHTS, rung_of
from models.hashing import hash64
from models.pace import ACT_S, number_of
from models.policy import Finding
from models.population import Population
from models.profile import Profile
from models.request import Request
from models.signals import DAY_S, SCALES_S, Measure
from models.verdict import Exceedance
from models.window import CHOICES, EVIDENCE, LOAD, NEW_PAIRS, PASSED, PATIENCE

#: An account may always do this many times its own habit …
_HABIT_TIMES: Final = 5.0
#: … up to this many times the level for everybody: a habit grown on purpose buys no more. Who reads
#: what people read may open as many: it is coverage that makes a copier.
_LEEWAY_MAX: Final = 4.0
_WITH_HABIT = ("requests", "choices")
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

_PLACES: tuple[tuple[int, Measure], ...] = (
    (LOAD, "requests"),
    (NEW_PAIRS, "new_pairs"),
    (CHOICES, "choices"),
    (EVIDENCE, "evidence"),
    (PATIENCE, "patience"),
    (PASSED, "passed"),
)
_PLACE = {measure: place for place, measure in _PLACES}


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
        #: How many times the usual is to be expected: more than 1 during a planned event.
        self.tolerance = 1.0
        at = {(s.measure, s.scale_s): i for i, (_, s) in enumerate(population.signals)}
        self._rare_at = at.pop(("rare_reads", DAY_S), None)  # kept beyond the day's window
        #: For each set of measures (a bit each, as in `_PLACES`) where to look once they have
        #: changed: the window, the place in it, and the signal's index.
        self._looks = [
            [
                (i, place, at[name, scale_s])
                for i, scale_s in enumerate(SCALES_S)
                for n, (place, name) in enumerate(_PLACES)
                if changed & 1 << n and (name, scale_s) in at
            ]
            for changed in range(1 << len(_PLACES))
        ]
        #: By signal its code, and which habit widens its level: asked for at every rung.
        self._codes = [signal.code for _, signal in population.signals]
        self._habits = [
            signal.measure if signal.scale_s == DAY_S and signal.measure in _WITH_HABIT else None
            for _, signal in population.signals
        ]
        #: Which of them reading as people do excuses, if that is looked at.
        self._excuses = [
            signal.measure == "choices" and self._rare_at is not None
            for _, signal in population.signals
        ]

    def judge(
        self,
        profile: Profile,
        request: Request,
        pairs: list[int],
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
        standing = profile.standing
        held = ts < standing.expires_s and standing.in_force(ts)
        teaches = not held and (not standing.confirmed_day or standing.teaches(ts))
        if profile.begins_day(ts):
            unsuspected = standing.expires_s < profile.windows[-1].start_s
            profile.close_day(ts, learn=unsuspected and teaches)
            self.population.begin_account_day(int(ts // DAY_S), counted=teaches)
            profile.taken_back = not teaches
        # What went on while a decision held is looked at afresh.
        afresh = not held and profile.is_raised
        if afresh:
            profile.calm_down()
        new_pairs, choices, evidence, patience = 0.0, 0, 0.0, 0.0
        if pairs:
            today = counted or ts >= profile.windows[-1].start_s
            new_pairs = profile.see_pairs(pairs, today=today)
            popularity = self._popularity
            for n, look in enumerate(looks):  # none unless chosen
                if look >= 0:
                    choices += 1
                    evidence += popularity.tenths[look] / 10
                    profile.weigh(popularity.copied[look])
                elif popularity.tenths[~look] < 0 and pairs[n] & _PAIR_BITS != profile.returned_to:
                    # Heavy readers are the last ones at most of what is popular: it still speaks
                    # for a person. What is rare says nothing, nor one favourite again and again.
                    profile.returned_to = pairs[n] & _PAIR_BITS
                    profile.weigh(popularity.copied[~look])
                    patience += popularity.tenths[~look] / 10
            honest = teaches and self._reads_like_people(profile)
            if choices:
                pace, even = self._follow(profile, request, honest=honest)
                # Customers' machines keep time, too: it says the more of what the pairs say.
                if even > 0:
                    even = math.copysign(min(even, _EVEN_TIMES * abs(evidence)), evidence)
                patience += evidence + even
                evidence = pace + (evidence if popularity.tells else 0.0)
            if counted:
                self._learn(profile, pairs, chosen=bool(looks), honest=honest)
        load = (_LIGHT if _is_light(request) else 1.0) if counted else 0.0
        profile.count(ts, int(counted), load, new_pairs, choices, evidence, patience)
        # A count that stays as it was stays below the height at which it is looked at again.
        changed = int(load > 0) | int(new_pairs > 0) << 1
        changed |= int(choices > 0) << 2 | int(evidence > 0) << 3
        changed |= int(patience > 0) << 4 | int(new_pairs > 0 and not choices) << 5
        windows, suspicious = profile.windows, False
        for i, place, at in self._looks[-1 if afresh else changed]:
            window = windows[i]
            count = window.at(place)
            if count >= window.heights.at(place):
                height = self._climb(profile, at, count, learn=teaches)
                if height > 0:
                    window.heights.put(place, height)
                else:
                    suspicious = True
                    window.raise_height(place, -height)
        if profile.rare >= profile.rare_height and self._rare_at is not None:
            height = self._climb(profile, self._rare_at, profile.rare, learn=teaches)
            profile.rare_height = abs(height)
            suspicious |= height < 0
        return suspicious or (choices > 0 and not held and self._reads_like_a_copier(profile))

    def count(self, profile: Profile, request: Request, *, chosen: bool) -> None:
        """Count a request that is in excess of what judging its account takes.

        Who read a pair last is noted all the same: what others read is judged by it.
        """
        profile.count(request.ts, 1, _LIGHT if _is_light(request) else 1.0, 0.0, 0, 0.0)
        if chosen:
            self._learn(profile, foreign_pairs(request), chosen=True, honest=False)
        else:
            self.own(profile, request)

    def own(self, profile: Profile, request: Request) -> None:
        """Remember that what an account generates is its own: later requests may not say so."""
        if request.action != "generate" or request.owner_id is not None:
            return
        pairs = [hash64(pair_id) for pair_id in request.pair_ids]
        profile.see_pairs(pairs, today=False)
        self._popularity.learn(pairs, profile.mark, counted=False, chosen=True)

    @property
    def _rare_level(self) -> float:
        at = self._rare_at
        return math.inf if at is None else self.population.levels[at][0]

    def _reads_like_a_copier(self, profile: Profile) -> bool:
        level = self._rare_level * self._leeway(profile)
        return profile.rare >= level and profile.copied_share >= _COPIED_THROTTLE

    def _follow(self, profile: Profile, request: Request, *, honest: bool) -> tuple[float, float]:
        """Return what it says how this choice follows the last one, and learn from it.

        In decibans: how soon it does and by which number, and how evenly.
        """
        ts, pair_ids = request.ts, request.pair_ids
        gap_s, before = ts - profile.chosen_s, profile.chosen_number
        number = number_of(pair_ids[0]) if len(pair_ids) == 1 else None
        said = self._pace.haste(gap_s) + self._pace.step(before, number)
        even = self._pace.evenness(gap_s, profile.gap_s)
        if honest and profile.windows[-1].choices < _CHOICES_LEARNED_MAX:
            self._pace.learn(gap_s, before, number, profile.gap_s)
        profile.chosen_number = number
        if gap_s >= ACT_S:
            profile.chosen_s, profile.gap_s = ts, round(min(gap_s, DAY_S), 3)
        return said, even

    def _learn(self, profile: Profile, pairs: list[int], *, chosen: bool, honest: bool) -> None:
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

    def _climb(self, profile: Profile, at: int, count: float, *, learn: bool) -> float:
        """Judge a signal at a new height, and learn it if it is unsuspicious.

        Returns the count at which to look again, negative if this one is beyond the level.
        """
        level, rung = self._level(profile, at), rung_of(count)
        if count >= level:
            if at != self._rare_at or profile.copied_share >= _COPIED_THROTTLE:
                return -HEIGHTS[rung + 1]
            return HEIGHTS[rung + 1]
        code = self._codes[at]
        below = profile.reached.get(code, -1)
        if rung > below:
            if learn and not profile.taken_back:
                self.population.tails[at].reach(below, rung)
                profile.reached[code] = rung
        else:
            rung = below
        height = HEIGHTS[rung + 1]
        return height if height < level else level

    def _reads_like_people(self, profile: Profile) -> bool:
        return profile.rare < _RARE_LEARNED_MAX * self._rare_level

    def _level(self, profile: Profile, at: int) -> float:
        """Return the count from which a signal asks for a throttle, for this account."""
        level, habit_of = self.population.levels[at][0], self._habits[at]
        if habit_of is not None:
            habit = profile.habit_requests if habit_of == "requests" else profile.habit_choices
            if habit.days >= _HABIT_DAYS:
                level = max(level, min(_HABIT_TIMES * habit.usual, _LEEWAY_MAX * level))
        if self._excuses[at] and self._popularity.tells and self._reads_like_people(profile):
            level = max(level, _LEEWAY_MAX * self.population.levels[at][0])
        return level * (self.tolerance * profile.standing.leeway)

    def _leeway(self, profile: Profile) -> float:
        """Return how many times the usual people have granted."""
        return self.tolerance * profile.standing.leeway

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
        found = []
        for at, (scenario, signal) in enumerate(self.population.signals):
            observed = (
                profile.rare
                if at == self._rare_at
                else profile.windows[SCALES_S.index(signal.scale_s)].at(_PLACE[signal.measure])
            )
            tail = self.population.tails[at]
            probability = tail.probability(observed)
            if probability <= _WORTH_TELLING:
                level = self._level(profile, at)
                beyond = observed >= level
                ban_level = self.population.levels[at][1] * self._leeway(profile)
                ban = observed >= ban_level
                if at == self._rare_at:
                    beyond &= profile.copied_share >= _COPIED_THROTTLE
                    ban &= profile.copied_share >= _COPIED_BAN
                found.append(
                    Exceedance(
                        scenario, signal, tail, observed, probability, level, ban_level, beyond, ban
                    )
                )
        # What is beyond its level comes before what merely corroborates.
        return sorted(found, key=lambda found: (not found.beyond, found.probability))


def _is_light(request: Request) -> bool:
    if request.status >= 500:
        return True
    owner_id = request.owner_id
    if owner_id is None:
        return False
    return owner_id == request.account_id and request.action != "generate"


def foreign_pairs(request: Request) -> list[int]:
    """Return the 64-bit hashes of other people's pairs that a request was given, each once."""
    pair_ids, owner_id = request.pair_ids, request.owner_id
    if not pair_ids or request.status >= 400 or request.action == "generate":
        return []
    if owner_id is not None and owner_id == request.account_id:
        return []
    if len(pair_ids) == 1:
        return [hash64(pair_ids[0])]
    return [hash64(pair_id) for pair_id in dict.fromkeys(pair_ids)]
