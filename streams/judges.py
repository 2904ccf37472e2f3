"""Those who judge a log in files: some of the partitions, or all of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from models.config import DetectionConfig
from models.decision import Decision
from models.detector import Detector
from models.groups import Groups
from models.observation import Observation
from models.share import Meet, Rank, Share, Stretch, keep
from streams.errors import OperatorError
from streams.partitions import partition_of

#: What each store of idle rows keeps in memory; there are three for each process.
CACHE_KIB = 8_192


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
    live_max
        Accounts of all partitions, and groups, that are held live; the rest are kept encoded.
    """

    config: DetectionConfig
    version: str
    requests: str
    links: str
    partitions: int
    live_max: int


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
        self._live_max = max(setup.live_max // setup.partitions, 1)
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
            n: Groups(
                setup.config,
                setup.version,
                setup.links,
                n,
                self._links.get,
                detector.docket.steering,
            )
            for n, detector in self._detectors.items()
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
        # Half of them at a time, so that encoding is paid for once in a while.
        for detector in self._detectors.values():
            if detector.live_accounts > self._live_max:
                snapshot = detector.snapshot()
                self._profiles.keep(snapshot.profiles)
                self._choices.keep(snapshot.choices)
                detector.trim(self._live_max // 2)
        for groups in self._groups.values():
            if groups.live_groups > self._live_max:
                self._links.keep(groups.snapshot().groups)
                groups.trim(self._live_max // 2)


class _Idle:
    """What is not live, encoded, in a temporary file that ends with this process.

    Accounts come and go without end, and so does what is known of them.
    """

    def __init__(self) -> None:
        # No name: a private database that lies on disk as far as it does not fit its cache.
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE rows (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._is_empty = True
        #: Times that something was asked for that is not here.
        self.missed = 0

    def get(self, name: str) -> bytes | None:
        found: tuple[bytes] | None = None
        if not self._is_empty:
            found = self._rows.execute("SELECT value FROM rows WHERE name = ?", (name,)).fetchone()
        self.missed += found is None
        return found[0] if found else None

    def keep(self, rows: dict[str, bytes]) -> None:
        self._is_empty = False
        try:
            self._rows.execute("BEGIN")
            self._rows.executemany("REPLACE INTO rows VALUES (?, ?)", rows.items())
            self._rows.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise OperatorError(
                f"what is known of idle accounts can't be kept in temporary files: {error}; "
                "SQLITE_TMPDIR may name another folder"
            ) from None


def _home_of(partitions: int) -> Callable[[str], int]:
    return lambda key: partition_of(key.encode(), partitions)
