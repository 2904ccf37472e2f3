"""The quantities that are measured, account by account, and judged against their peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

Measure = Literal[
    "requests", "new_pairs", "choices", "evidence", "rare_reads", "passed", "patience"
]
#: What each measure tells of; a ban wants two kinds to agree.
Kind = Literal["throughput", "coverage", "long tail"]

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
#: The time scales, shortest first; a profile keeps one tumbling window of each.
SCALES_S = (MINUTE_S, HOUR_S, DAY_S)
_SCALE_NAMES = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}
_IN_WORDS = {MINUTE_S: "in a minute", HOUR_S: "in an hour", DAY_S: "in a day"}


class _Words(NamedTuple):
    letter: str
    name: str
    noun: str
    kind: Kind


_WORDS: dict[str, _Words] = {
    "requests": _Words("r", "requests", "requests", "throughput"),
    "new_pairs": _Words("n", "pairs never seen before", "pairs", "coverage"),
    "choices": _Words("c", "pairs opened one by one", "pairs", "coverage"),
    "evidence": _Words(
        "e", "evidence of a copying program (10 is ten to one)", "decibans", "long tail"
    ),
    "rare_reads": _Words("l", "pairs opened as only a copier would", "pairs", "long tail"),
    "passed": _Words("p", "new pairs shown in a row and none of them opened", "pairs", "coverage"),
    "patience": _Words(
        "s", "evidence of a patient program (10 is ten to one)", "decibans", "long tail"
    ),
}


#: The code (`Signal.code`) of every signal that there can be. Profiles are kept by their places:
#: new ones go to the end.
CODES: Final = tuple(
    words.letter + scale[0] for words in _WORDS.values() for scale in _SCALE_NAMES.values()
)


def pack_rungs(rungs: Mapping[str, int]) -> bytes:
    """Return by place in `CODES` a byte for each rung, 0 where there is none."""
    return bytes([rungs.get(code, -1) + 1 for code in CODES])


def unpack_rungs(packed: bytes) -> dict[str, int]:
    """Return the rungs that `pack_rungs` was given, by code."""
    return {code: rung - 1 for code, rung in zip(CODES, packed, strict=False) if rung}


_LEAST = {"evidence": 20.0, "rare_reads": 5.0, "passed": 600.0, "patience": 60.0}


class Signal(msgspec.Struct, frozen=True):
    """One quantity, over one tumbling window or a life.

    Parameters
    ----------
    measure
        What is counted of other people's pairs and of requests:

        `requests`: all of them.
        `new_pairs`: pairs that this account had never been given before, also by list pages.
        Coverage is the damage a copier does, and who looks at what is popular covers slowly.
        `choices`: pairs that it viewed or downloaded, coming straight back not counted.
        `evidence`: what its choices say together for a program that copies, by how rare the pairs
        are, how soon one follows the other and whether it is the next by number, see
        `models.pace`; down to zero. Decibans: 10 are odds of ten to one, 20 of a hundred.
        `rare_reads`: those of its choices that a copier would have made, by the evidence in them,
        see `models.popularity`; what speaks against one counts negatively, down to zero.
        `passed`: new pairs on page after page since it last opened any.
        `patience`: what its choices say together by how rare the pairs are, and how evenly one
        follows the other, which speaks as the pair does: customers have machines, too.
    scale_s
        The window's length, one of `SCALES_S`; `rare_reads` of a day go on to the next and fade.
    usual, excess
        What is believed of honest accounts before anything has been seen: half of all account
        days stay below `usual` in every window of the day, and one in a thousand passes
        `excess`. Traffic soon outweighs this belief.
    """

    measure: Measure
    scale_s: int
    usual: float
    excess: float

    @property
    def unbounded(self) -> bool:
        """Whether a day's time sets it no bound: machines tire of no request, and what is read as
        a copier reads goes on from where the last day ended.
        """
        return self.measure in ("requests", "passed", "patience") or (
            self.measure == "rare_reads" and self.scale_s == DAY_S
        )

    @property
    def is_evidence(self) -> bool:
        """Whether it weighs what was done instead of counting it."""
        return self.measure in ("evidence", "rare_reads", "patience")

    @property
    def least(self) -> float:
        """The lowest level there is: what weighs less accuses nobody, however little others do.

        Or made-up accounts by the million, one request each, would make suspects of all who do
        more. Of counts chance sets it. Evidence has odds of its own: a hundred to one, and more
        than one page of what is read as copiers read. Over all
        that a program opens in a day chance alone makes a thousand to one, and in a thousand days
        a million. And anybody may turn ten long pages.
        """
        return _LEAST.get(self.measure, 0.0)

    @property
    def kind(self) -> Kind:
        """What kind of evidence it is."""
        return _WORDS[self.measure].kind

    @property
    def code(self) -> str:
        """Two letters that name the signal where space is short: `rm`, `nd`."""
        return _WORDS[self.measure].letter + _SCALE_NAMES[self.scale_s][0]

    @property
    def name(self) -> str:
        """The signal in words, as it stands in a decision's reasons."""
        return f"{_WORDS[self.measure].name} {_IN_WORDS[self.scale_s]}"

    @property
    def unit(self) -> str:
        """The unit of its figures."""
        return f"{_WORDS[self.measure].noun} per {_SCALE_NAMES[self.scale_s]}"
