"""What is unlearned of those who are decided about, and learned from what people say of it.

Others are judged by what honest accounts do. So the day of a suspect is taken back; once people
say that it was wronged it is given back, and once they say that it was not, nothing is learned
from the account for a while (`Standing.trusted_from_s`). What either says for the levels of all is
`Population.feedback`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from models.calibration import rung_of
from models.policy import Standing
from models.population import Population
from models.profile import Profile
from models.signals import pack_rungs, unpack_rungs
from models.verdict import Exceedance


def take_back(
    profile: Profile, population: Population, exceedances: Iterable[Exceedance] = ()
) -> None:
    """Unlearn the running day of an account, and keep how far it got in case it was honest.

    Parameters
    ----------
    profile
        The account's.
    population
        What has learned from it.
    exceedances
        What it is suspected for, beyond what was learned.
    """
    peaks = unpack_rungs(profile.standing.peaks)
    found = [(each.signal.code, rung_of(each.observed)) for each in exceedances]
    for code, rung in (*found, *profile.reached.items()):
        peaks[code] = max(peaks.get(code, -1), rung)
    profile.standing = msgspec.structs.replace(profile.standing, peaks=pack_rungs(peaks))
    if not profile.taken_back:
        profile.taken_back = True
        population.take_back_day(profile.reached)
        profile.reached = {}


def give_back(profile: Profile, population: Population, wronged: Standing) -> None:
    """Learn what was unlearned of an honest account, and hold none of it against it.

    It weighs one account-day, as any other.

    Parameters
    ----------
    profile
        The account's, whose standing has changed since.
    population
        Learns from it.
    wronged
        Where it stood.
    """
    if peaks := unpack_rungs(wronged.peaks):
        population.give_back_day(peaks)
        if wronged.issued_s >= profile.windows[-1].start_s:  # it goes on from there
            profile.reached, profile.taken_back = peaks, False
        profile.standing = msgspec.structs.replace(profile.standing, peaks=b"")
    profile.excuse()
