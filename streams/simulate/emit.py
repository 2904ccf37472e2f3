"""From columns to request events: ids, answers' sizes and times, clients and links as text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from models.request import Request
from streams.simulate.accounts import Accounts, address_text, asn_of, fingerprint_texts
from streams.simulate.catalogue import Catalogue
from streams.simulate.draws import Draws, Floats, Ints
from streams.simulate.rows import ACTIONS, DOWNLOAD, VIEW, Rows

#: By action: typical bytes of an answer (beside those for each listed pair) and milliseconds.
_BYTES = np.array([1_400_000, 60_000, 1_600_000, 2_500, 2_500, 400])
_BYTES_PER_PAIR = np.array([0, 0, 0, 620, 620, 0])
_DURATION_MS = np.array([4_200.0, 35.0, 120.0, 60.0, 140.0, 15.0])
_ERROR_BYTES = 280
#: Every day a few answers are not found, an error or not modified.
_STATUSES = np.array([404, 500, 304, 200])
_STATUS_BOUNDS = np.array([0.004, 0.005, 0.02])

_Texts = npt.NDArray[np.object_]


def answer(rows: Rows, numbers: Ints, draws: Draws) -> None:
    """Let a few requests fail, as they do; `numbers` tells all requests of the run apart."""
    fate = np.searchsorted(_STATUS_BOUNDS, draws.uniform("fate", numbers), side="right")
    status = _STATUSES[fate]
    changes = (rows.status == 200) & ((status != 304) | np.isin(rows.action, (VIEW, DOWNLOAD)))
    rows.status = np.where(changes, status, rows.status)
    rows.without_pairs(rows.status >= 400)


class Emitter:
    """Writes rows of one world as requests, thousands at a time."""

    def __init__(self, accounts: Accounts, catalogue: Catalogue, draws: Draws) -> None:
        self._catalogue, self._draws = catalogue, draws
        #: The last one stands for an owner that is mixed or unknown (position −1).
        self._ids = _texts([*accounts.ids, None])
        self._actions = _texts(ACTIONS)
        self._links = _texts(accounts.links_of_devices())
        agents, ja4s = zip(*fingerprint_texts(draws), strict=True)
        self._agents, self._ja4s = _texts(agents), _texts(ja4s)

    def requests(self, rows: Rows, numbers: Ints) -> Iterable[Request]:
        """Return the rows as requests; `numbers` tells all requests of the run apart."""
        pairs = self._catalogue.name_all(rows.pairs)
        ends = np.cumsum(rows.counts)
        sizes, durations_ms = self._costs(rows, numbers)
        return map(
            Request,
            rows.ts.tolist(),
            [f"{number:016x}" for number in self._draws.bits("request", numbers).tolist()],
            self._ids[rows.slot].tolist(),
            self._actions[rows.action].tolist(),
            [pairs[a:b] for a, b in zip((ends - rows.counts).tolist(), ends.tolist(), strict=True)],
            self._ids[rows.owner].tolist(),
            map(address_text, rows.address.tolist()),
            self._agents[rows.fingerprint].tolist(),
            self._ja4s[rows.fingerprint].tolist(),
            asn_of(rows.address).tolist(),
            self._links[rows.slot, rows.device].tolist(),
            rows.status.tolist(),
            sizes.tolist(),
            durations_ms.tolist(),
        )

    def _costs(self, rows: Rows, numbers: Ints) -> tuple[Ints, Floats]:
        """Return bytes and milliseconds of each answer."""
        typical = _BYTES[rows.action] + _BYTES_PER_PAIR[rows.action] * rows.counts
        sizes = typical * self._draws.lognormal(1.0, 0.35, "bytes", numbers)
        durations_ms = _DURATION_MS[rows.action] * rows.slowdown
        durations_ms *= self._draws.lognormal(1.0, 0.4, "duration", numbers)
        sizes = np.where(rows.status == 200, sizes, _ERROR_BYTES)
        return sizes.astype(np.int64), np.round(durations_ms, 1)


def _texts(items: Iterable[object]) -> _Texts:
    """Make a table that whole columns are looked up in at once."""
    return np.array(list(items), dtype=np.object_)
