"""The named scenarios: which customers, which occasions, which attacks."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.errors import OperatorError
from streams.simulate.attacks.table import ATTACKS
from streams.simulate.people import KINDS

INTENSITIES = {"gentle": 0.4, "normal": 1.0, "hard": 2.5}
#: Two thousand accounts for a week make about half a million events.
ACCOUNTS = 2_000
DAYS = 7.0
CATALOGUE_SIZE = 100_000
GROWTH_PER_DAY = 0.01


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A scenario. `shares` replaces those of some kinds; occasions are what befalls everybody."""

    summary: str
    attacks: tuple[str, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    occasions: tuple[str, ...] = ("viral", "lesson", "bulk-download", "outage")


MIXES: dict[str, Mix] = {
    "ordinary": Mix(summary="a week without any attack: every decision is a false alarm"),
    "calm": Mix(summary="ordinary, without viral pair, class, bulk download or outage",
                occasions=()),
    "holiday": Mix(
        summary="ordinary, with two days on which most are away, and all come back at once",
        occasions=("viral", "lesson", "bulk-download", "outage", "holiday"),
    ),
    "honest-groups": Mix(
        summary="no attack, but many agencies, companies, classes, households and campuses",
        shares={"agency": 15, "colleague": 15, "household": 12, "campus": 15, "student": 8},
    ),
    "odd-customers": Mix(
        summary="no attack, but people who scroll and open little, and picture frames that fetch "
        "what is popular by the clock",
        shares={"scroller": 3, "frame": 3},
    ),
    "saturday-night": Mix(
        summary="the incident: two accounts of one company copy the catalogue on a Saturday night",
        attacks=("smash-and-grab",),
    ),
    **{name: Mix(summary=attack.summary, attacks=(name,)) for name, attack in ATTACKS.items()},
    "everything": Mix(summary="all attacks at once in one week", attacks=tuple(ATTACKS)),
}  # fmt: skip


def find(name: str) -> Mix:
    """Return a scenario by name.

    Raises
    ------
    OperatorError
        There is no such scenario.
    """
    if name not in MIXES:
        raise OperatorError(f"there is no scenario {name}; there are: {', '.join(MIXES)}")
    return MIXES[name]


def check_attacks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of attacks, each known and named once.

    Raises
    ------
    OperatorError
        There is no such attack.
    """
    for name in names:
        if name not in ATTACKS:
            raise OperatorError(f"there is no attack {name}; there are: {', '.join(ATTACKS)}")
    return tuple(dict.fromkeys(names))


def shares_of(mix: Mix) -> dict[str, float]:
    """Return the share of each kind in a scenario."""
    return {name: mix.shares.get(name, kind.share) for name, kind in KINDS.items()}
