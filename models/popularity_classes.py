"""What a read of a pair says for or against a copier, by how many have read the pair before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from models.population_state import CLASSES, PopularityWire

#: Evidence is weighed in decibans (ten times the decimal logarithm of the odds; Good 1979, on
#: Turing's wartime work): ten of them are 10 to 1, one is just about noticeable.
_DECIBANS: Final = 10 / math.log(10)
#: One read says no more than this for or against a copier, however rare the pair: what is known
#: of the classes is an estimate, and one page must not decide.
_EVIDENCE_MAX: Final = 12.0
#: Below these a copier can't be told from people: what is known of the pairs is too little.
_READS_MIN: Final = 500
_COPIER_EVIDENCE_MIN: Final = 0.5
#: One read counts for no more than two of a copier: one page must not decide.
_COPIED_MAX: Final = 2.0
#: Reads believed to be like the catalogue before any were seen: no evidence either way at first.
_BELIEF_READS: Final = 50.0
#: The evidence follows what was learned at this pace, and the latest reads weigh most: a quarter of
#: all, since a pair's readers grow in number as those of all pairs do, and where these have doubled
#: a class means something else. What was read is held against the catalogue as it stood then.
_RENEW_READS: Final = 256
_MEMORY_SHARE: Final = 0.25
_MEMORY_READS_MAX: Final = 12_800


class Classes:
    """What is known of the classes of popularity: what people read of each, and copiers would.

    An honest reader follows what is popular; a copier needs each pair once and so reads like
    the catalogue is. For each class of popularity the evidence of a read is the logarithm of
    the likelihood ratio between the two. It starts at zero and grows as the stream shows how
    honest reads and the catalogue differ. (The long-tail share as a sign of crawlers: Ro et
    al., Detection Method for Distributed Web-Crawlers: A Long-Tail Threshold Model, 2018.)
    """

    __slots__ = (
        "copied",
        "copier_evidence",
        "evidence",
        "offered",
        "read",
        "reads",
        "renew_at",
        "renewed_at",
        "tells",
        "tenths",
        "untold",
    )

    def __init__(self) -> None:
        #: Honest reads by class of what was read.
        self.read = [0.0] * CLASSES
        #: What of each class copiers would have read in their place.
        self.offered = [0.0] * CLASSES
        #: Honest reads so far, those at which it was renewed last, and at which it is again.
        self.reads = self.renewed_at = self.renew_at = 0
        #: Reads by class that other partitions have not been told yet.
        self.untold = [0] * CLASSES
        #: By class what a read says, decibans; above 0: a copier.
        self.evidence = [0.0] * CLASSES
        #: What a read of a copier comes to on average.
        self.copier_evidence = 0.0
        #: Whether enough is known of the pairs to tell a copier from people.
        self.tells = False
        #: By class, how many reads of a copier a read amounts to: its evidence in units of what a
        #: copier's comes to on average, so that sums mean the same however much has been learned;
        #: below 0 where it speaks against a copier. And the evidence in tenths of a deciban.
        self.copied = [0.0] * CLASSES
        self.tenths = [0] * CLASSES

    @property
    def has_read(self) -> bool:
        """Whether enough has been read to know what is."""
        return self.renewed_at >= _READS_MIN

    @property
    def is_due(self) -> bool:
        """Whether enough has been read since to `renew` what reads say."""
        return self.reads >= self.renew_at

    def note(self, of: int) -> None:
        """Take in that an honest reader chose a pair of a class."""
        self.read[of] = self.read[of] + 1.0
        self.untold[of] = self.untold[of] + 1
        self.reads += 1

    def merge(self, read: Sequence[int]) -> None:
        """Take in how much another partition's honest readers chose of each class."""
        self.read = [a + b for a, b in zip(self.read, read, strict=True)]
        self.reads += sum(read)

    def halve(self) -> None:
        """Forget half of what was read."""
        self.read = [count / 2 for count in self.read]
        self.offered = [count / 2 for count in self.offered]

    def renew(self, occupied: list[int], catalogue_size: int) -> None:
        """Work out what a read of each class says now.

        Parameters
        ----------
        occupied
            Slots by class; those of the first class have had no reader.
        catalogue_size
            Pairs there are, read or not.
        """
        new = self.reads - self.renewed_at
        self.renew_at, self.renewed_at = self.reads + _RENEW_READS, self.reads
        slots = sum(occupied)
        used = slots - occupied[0]
        known = min(1.0, used / max(catalogue_size, used, 1))
        self.copier_evidence = 0.0
        for c, count in enumerate(occupied):
            # A pair that was read lies in a slot in use; one that nobody read, anywhere.
            in_use = count / used if c and used else 0.0
            copied = (1 - known) * count / slots + known * in_use
            self.offered[c] += new * copied
            offered = self.offered[c] + _BELIEF_READS * copied
            honest = self.read[c] + _BELIEF_READS * copied
            if offered and honest:
                # Not of the quotient, which is 0 where a class has had no pairs for long.
                ratio = _DECIBANS * (math.log(offered) - math.log(honest))
                self.evidence[c] = min(max(ratio, -_EVIDENCE_MAX), _EVIDENCE_MAX)
                self.copier_evidence += copied * self.evidence[c]
            else:
                self.evidence[c] = 0.0
        self._tabulate()
        memory = min(max(self.reads * _MEMORY_SHARE, _READS_MIN), _MEMORY_READS_MAX)
        fading = math.exp(-new / memory)
        self.read = [count * fading for count in self.read]
        self.offered = [count * fading for count in self.offered]

    def _tabulate(self) -> None:
        """Work out what judging looks up."""
        unit = self.copier_evidence
        self.tells = self.has_read and unit >= _COPIER_EVIDENCE_MIN
        self.tenths = [min(max(round(10 * one), -128), 127) for one in self.evidence]
        known = self.evidence if self.tells else [0.0] * CLASSES
        self.copied = [min(one / unit, _COPIED_MAX) if one else 0.0 for one in known]

    def restore(self, wire: PopularityWire) -> None:
        """Take up what a snapshot says of it."""
        self.read, self.offered, self.evidence = wire.read, wire.offered, wire.evidence
        self.reads, self.renew_at, self.renewed_at = wire.reads, wire.renew_at, wire.renewed_at
        self.untold = wire.untold.read
        self.copier_evidence = wire.copier_evidence
        self._tabulate()
