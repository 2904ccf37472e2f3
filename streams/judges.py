"""Those who judge a log in files: some of the partitions, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.groups import Groups
from models.observation import Observation
from models.share import Meet, Rank, Share, Stretch, keep
from streams.partitions import partition_of

#: Live profiles and groups of all partitions; the rest are kept encoded.
_ACCOUNTS_LIVE_MAX = 50_000
_GROUPS_LIVE_MAX = 50_000


class Setup(NamedTuple):
    """What a log is judged by.

    Parameters
    ----------
    config, version
        As the detector takes them.
    requests, links
        The topics that decisions name.
    partitions
        How many there are.
    """

    config: DetectionConfig
    version: str
    requests: str
    links: str
    partitions: int


class Outcome(msgspec.Struct, array_like=True, tag="outcome"):
    """What came of a batch: counts, and decisions in any order; accounts are all there were."""

    judged: int = 0
    excess: int = 0
    duplicate: int = 0
    late: int = 0
    accounts: int = 0
    decisions: list[tuple[Rank, Decision]] = []


class Judges:
    """Judges one share of the partitions.

    Parameters
    ----------
    setup
        The same for all shares.
    share_of
        For each partition the number of the share that judges it.
    number
        Which share this is.
    meet
        Meets the others.
    """

    def __init__(
        self, setup: Setup, share_of: Sequence[int], number: int, meet: Meet = keep
    ) -> None:
        own = [n for n, share in enumerate(share_of) if share == number]
        self._live_max = max(_ACCOUNTS_LIVE_MAX // setup.partitions, 1)
        self._groups_live_max = max(_GROUPS_LIVE_MAX // setup.partitions, 1)
        self._profiles, self._choices, self._links = (_Idle() for _ in range(3))
        self._detectors = {
            n: Detector(
                setup.config,
                setup.version,
                setup.requests,
                n,
                self._profiles.get,
                self._choices.get,
                setup.partitions,
            )
            for n in own
        }
        self._groups = {
            n: Groups(setup.config, setup.version, setup.links, n, self._links.get) for n in own
        }
        home_of = _home_of(setup.partitions)
        self._share = Share(self._detectors, self._groups, share_of, home_of, meet)

    def judge(self, stretches: list[Stretch]) -> Outcome:
        """Judge what is to be judged of some stretches."""
        outcome = Outcome(decisions=[])

        def note(_: int, seen: Observation) -> None:
            outcome.judged += seen.judged
            outcome.excess += seen.excess
            outcome.duplicate += seen.duplicate
            outcome.late += seen.late

        for stretch in stretches:
            outcome.decisions += self._share.judge(stretch, note)
        self._let_idle()
        # Nobody is asked for in vain but by their first request.
        outcome.accounts = self._profiles.missed
        return outcome

    def _let_idle(self) -> None:
        # Twice the number, so that encoding is paid for once in a while and not every time.
        for detector in self._detectors.values():
            if detector.live_accounts > 2 * self._live_max:
                snapshot = detector.snapshot()
                self._profiles.keep(snapshot.profiles)
                self._choices.keep(snapshot.choices)
                detector.trim(self._live_max)
        for groups in self._groups.values():
            if groups.live_groups > 2 * self._groups_live_max:
                self._links.keep(groups.snapshot().groups)
                groups.trim(self._groups_live_max)


class _Idle:
    """What is not live, encoded."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        #: Times that something was asked for that is not here.
        self.missed = 0

    def get(self, name: str) -> bytes | None:
        row = self._rows.get(name)
        self.missed += row is None
        return row

    def keep(self, rows: dict[str, bytes]) -> None:
        self._rows.update(rows)


def _home_of(partitions: int) -> Callable[[str], int]:
    return lambda key: partition_of(key.encode(), partitions)
