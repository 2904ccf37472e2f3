"""What members' choices say together: how rare they are, and how little they overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.groups.day import CHOICE_TENTHS_MAX, HONEST_PARTS, PAGE_TENTHS_MAX
from models.groups.member import Member

Floats = npt.NDArray[np.float64]

#: Honest explanations of an overlap, of which the best one counts: how much members' tastes agree
#: (times the overlap that popularity alone predicts for independent readers), and the part of
#: their choices that they share whatever it is, as colleagues do who work on the same things.
_HONEST = np.array(((1.0, 0.0), (0.1, 0.0), (1.0, 0.05), (1.0, 0.2), (1.0, 0.6)))
_TASTES, _IN_COMMON = _HONEST[:, :1], _HONEST[:, 1:]
#: More often than this nothing is expected, and less likely than this nothing is.
_EXPECTED_MAX, _LEAST_CHANCE = 20.0, 1e-6
#: Who divides the work chooses what another has chosen by mistake only, and in a life beside it.
_MISTAKES, _LIFE_BESIDE = 0.01, 0.2
#: Up to this (decibans) odds are what they say: one honest account-day in 2,000 gets there.
#: Beyond, people with odd tastes are more than odds have it; an account-day at 54 decibans is one
#: in 6,000, and so a deciban counts a quarter (measured over simulated weeks, where each
#: account-day's choices were weighed by the other accounts' of its partition).
_TRUE_MAX, _BEYOND = 32.0, 0.25
#: One member's evidence counts up to this: what is known of people reaches no further than one in
#: a million.
_MEMBER_EVIDENCE_MAX = 60.0
#: The largest part (0–1) of a link that is believed to copy: belonging alone proves nothing.
_PART_MAX = 0.9
#: The least that a member's own choices must say (20 decibans are 100 to 1), whoever the others
#: are, and what they and the group must say together: 1,000 to one, for a ban 10,000.
_OWN_MIN, _FOUND, _GRAVE = 20.0, 30.0, 40.0
#: How much more where only the manner ties them: it is no fact about an account as a card is, and
#: heavy readers, whose odd choices say most, are alike.
_BY_MANNER = 10.0


#: By the evidence of a choice (tenths of a deciban, as an unsigned byte): how many times likelier
#: a person makes it, and what it adds for each of the parts, decibans.
_TENTHS = np.arange(256, dtype=np.uint8).view(np.int8)
_LIKELIER = 10.0 ** (_TENTHS / -100.0)  # what is least has no opposite among its kind
_ADDED = np.array([10 * np.log10(part + (1 - part) / _LIKELIER) for part in HONEST_PARTS])
#: The natural logarithm is much the fastest.
_DECIBANS = 10 / math.log(10)


class Weighed(NamedTuple):
    """What the members of a link have chosen, weighed together.

    Parameters
    ----------
    own
        For each member, what its own choices say (decibans) beside those of the others.
    shared, shared_expected
        For each member, sampled choices that another has made too, and how many there would be
        of independent readers.
    """

    own: Floats
    shared: Floats
    shared_expected: Floats


class Finding(NamedTuple):
    """What a link's members are together.

    Parameters
    ----------
    evidence
        What speaks for copiers among them, decibans, whichever one member is left out.
    found, grave
        Positions of the members who belong to them, those who do beyond doubt among them.
    """

    evidence: float
    found: list[int]
    grave: set[int]


def weigh(members: Sequence[Member]) -> Weighed:
    """Weigh the latest day of each member.

    A choice that another member has made too, or of a pair that belongs to a member, says nothing
    by its rarity: it is how people look who work together.
    """
    count = len(members)
    sizes = np.array([len(member.evidence) for member in members])
    whose = np.repeat(np.arange(count), sizes)
    pairs = np.frombuffer(b"".join([member.pairs for member in members]), dtype=np.uint32)
    tenths = np.frombuffer(b"".join([member.evidence for member in members]), dtype=np.uint8)
    owners = np.frombuffer(b"".join([member.owners for member in members]), dtype=np.uint16)
    chosen, pages, below, catalogue, past, marks = np.array(
        [(m.chosen, m.pages, m.below, m.catalogue_size, m.past, m.mark) for m in members]
    ).T
    # A sample doesn't tell pages from pairs, but hardly anybody chooses both.
    part = pages / chosen
    most = CHOICE_TENTHS_MAX + (PAGE_TENTHS_MAX - CHOICE_TENTHS_MAX) * part
    says = np.minimum(tenths.view(np.int8), most.astype(np.int8)[whose]).view(np.uint8)

    shared = _made_twice(pairs)
    is_member = np.zeros(2**16, dtype=np.bool_)
    is_member[marks.astype(np.int64)] = True
    # A page never is the same choice as a pair.
    others = (1 - part[whose]) * _choices_of_others(chosen - pages, below, pairs, whose)
    others += part[whose] * _choices_of_others(pages, below, pairs, whose)
    expected = np.minimum(others / catalogue[whose] * _LIKELIER[tenths], _EXPECTED_MAX)
    missed = np.exp(-expected)
    meets = 1 - missed
    divided = _MISTAKES + _LIFE_BESIDE * meets
    apart = ~shared
    # With a column to end the last member's, who may have none.
    amounts = np.zeros((len(HONEST_PARTS) + 4, len(pairs) + 1))
    added, (overlaps, unmets, mets, twice) = np.split(amounts[:, :-1], [len(HONEST_PARTS)])
    np.multiply(_ADDED.take(says, axis=1), apart & ~is_member[owners], out=added)
    np.log(np.where(shared, divided, 1 - divided), out=overlaps)
    np.multiply(expected, apart, out=unmets)
    mets[:], twice[:] = meets, shared
    ends = np.cumsum(sizes)
    sums = np.add.reduceat(amounts, ends - sizes, axis=1) * (sizes > 0)
    overlap, unmet, met, in_common = sums[len(HONEST_PARTS) :]

    honest = np.log1p(-_IN_COMMON) * (sizes - in_common) - _TASTES * unmet
    if in_common.any():
        apart = (1 - _IN_COMMON) * np.exp(-_TASTES * expected[shared])
        said = np.log(np.maximum(1 - apart, _LEAST_CHANCE))
        honest += [np.bincount(whose[shared], one, count) for one in said]
    scale = np.maximum(chosen / np.maximum(sizes, 1), 1.0)
    rare = _mean_of_odds(scale * sums[: len(HONEST_PARTS)])
    return Weighed(
        own=past + rare + _DECIBANS * scale * (overlap - honest.max(axis=0)),
        shared=in_common,
        shared_expected=met,
    )


def _made_twice(pairs: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return which pairs stand there more than once."""
    ordered = np.sort(pairs)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(len(pairs), dtype=np.bool_)
    at = np.minimum(np.searchsorted(twice, pairs), len(twice) - 1)
    return np.asarray(twice[at] == pairs)


def _choices_of_others(
    chosen: Floats, below: Floats, pairs: npt.NDArray[np.uint32], whose: npt.NDArray[np.int64]
) -> Floats:
    """Return for each sampled pair how many choices of others it would be seen among."""
    order = np.argsort(below, kind="stable")
    # Those whose sample reaches at least as far as the pair's hash.
    beyond = np.append(np.cumsum(chosen[order][::-1])[::-1], 0.0)
    return np.maximum(beyond[np.searchsorted(below[order], pairs)] - chosen[whose], 0.0)


def find(own: Floats, seen: int, *, by_manner: bool = False) -> Finding:
    """Find those who copy among a link's members.

    Each member copies with an unknown chance, the same for all: the mean over what it may be is
    the evidence for the link (an e-value; Vovk and Wang, E-values: Calibration, combination and
    applications, Annals of Statistics 2021), and the likeliest is every member's prior. So three
    of two hundred must each speak for themselves, and thirty of thirty for each other.

    Parameters
    ----------
    own
        What each member's own choices say, decibans.
    seen
        Members of the link, also those not among these; at least as many.
    by_manner
        Whether only how they go about it ties them.
    """
    own = np.minimum(own, _TRUE_MAX + _BEYOND * np.maximum(own - _TRUE_MAX, 0.0))
    own = np.minimum(own, _MEMBER_EVIDENCE_MAX)
    strongest = int(np.argmax(own))
    others = np.concatenate([own[:strongest], own[strongest + 1 :]])
    without = _over_parts(others, seen - 1)[1]
    evidence = float(_mean_of_odds(without))
    parts, together = _over_parts(own, seen)
    part = float(parts[np.argmax(together)])
    odds = own + 10 * math.log10(part / (1 - part)) - _BY_MANNER * by_manner
    found = np.flatnonzero((odds >= _FOUND) & (own >= _OWN_MIN)).tolist()
    return Finding(evidence, found, {at for at in found if odds[at] >= _GRAVE})


def _over_parts(own: Floats, seen: int) -> tuple[Floats, Floats]:
    """Return what the part of copiers may be, and what each such part says."""
    least = min(2 / (seen + 1), _PART_MAX)
    steps = max(math.ceil(math.log2(_PART_MAX / least)), 0) + 1
    parts = np.minimum(least * 2.0 ** np.arange(steps), _PART_MAX)
    told = np.log10((1 - parts)[:, None] + parts[:, None] * 10 ** (own / 10)).sum(axis=1)
    return parts, 10 * (told + max(seen - len(own), 0) * np.log10(1 - parts))


def _mean_of_odds(decibans: Floats) -> Floats:
    """Return the mean over the first axis, of odds that are given in decibans."""
    most = decibans.max(axis=0)
    mean: Floats = (10 ** ((decibans - most) / 10)).sum(axis=0) / len(decibans)
    return np.asarray(most + 10 * np.log10(mean))
