"""How fast copiers go: each pace gives the times of one member's requests.

A pace takes a generator, the member's time zone, the start and end of the attack (Unix seconds)
and the intensity (1 is normal), and returns ascending times within them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streams.simulate.draws import Floats
from streams.simulate.honest.sessions import DAY_S
from streams.simulate.people import HOURS

Pace = Callable[[np.random.Generator, float, float, float, float], Floats]

#: No member makes more requests than this: ten whole catalogues, 50 MB of columns.
REQUESTS_MAX = 1_000_000
#: What grows by the day must end somewhere: one request a second.
DAILY_MAX = 86_400
#: What a pulsing copier stays under in any 60 seconds.
PULSE_LIMIT = 60
_PULSE_BURST = 52
_PULSE_BURST_S = 14.0


def steady(per_s: float, sigma: float = 0.25) -> Pace:
    """Go on at a rate, with log-normal gaps: `sigma` says how irregular."""

    def pace(
        rng: np.random.Generator, zone_s: float, start_s: float, end_s: float, intensity: float
    ) -> Floats:
        mean_s = 1.0 / (per_s * intensity)
        count = min(int((end_s - start_s) / mean_s) + 1, REQUESTS_MAX)
        gaps = rng.lognormal(np.log(mean_s) - sigma**2 / 2.0, sigma, count)
        return _within(start_s + np.cumsum(gaps), start_s, end_s)

    return pace


def human(low: int, high: int, growth_per_day: float = 0.0) -> Pace:
    """Take so many a day in a few sittings in the waking hours of the member's time zone.

    With `growth_per_day`, each day by that share more than the day before.
    """

    def pace(
        rng: np.random.Generator, zone_s: float, start_s: float, end_s: float, intensity: float
    ) -> Floats:
        hours = np.cumsum(HOURS["home"], dtype=np.float64)
        times = []
        midnights = np.arange(start_s // DAY_S, np.ceil(end_s / DAY_S)) * DAY_S
        for day, midnight in enumerate(midnights):
            scale = intensity * (1.0 + growth_per_day) ** day
            count = min(round(int(rng.integers(low, high + 1)) * scale), DAILY_MAX)
            sittings = int(rng.integers(2, 5))
            points = rng.uniform(0.0, hours[-1], sittings)
            local_h = np.interp(points, np.concatenate([[0.0], hours]), np.arange(25.0))
            begins = midnight + (local_h * 3600.0 - zone_s) % DAY_S
            parts = rng.multinomial(count, np.full(sittings, 1 / sittings))
            for begin, part in zip(begins, parts, strict=True):
                times.append(begin + np.cumsum(rng.lognormal(np.log(11.0), 1.1, part)))
        return _within(np.sort(np.concatenate(times)), start_s, end_s)

    return pace


def pulsing(every_s: float = 120.0) -> Pace:
    """Send bursts and fall silent, so that no 60 seconds hold more than `PULSE_LIMIT`."""

    def pace(
        rng: np.random.Generator, zone_s: float, start_s: float, end_s: float, intensity: float
    ) -> Floats:
        # A burst and the silence behind it are longer than the limit's window, whatever the
        # intensity: a window never sees two bursts.
        silence_s = max(every_s / intensity - _PULSE_BURST_S, 62.0)
        count = int((end_s - start_s) / (_PULSE_BURST_S + silence_s)) + 1
        gaps = _PULSE_BURST_S + silence_s + rng.uniform(0.0, 12.0, count)
        begins = start_s + np.cumsum(gaps) - gaps[0]
        within = np.sort(rng.uniform(0.0, _PULSE_BURST_S, (count, _PULSE_BURST)), axis=1)
        return _within((begins[:, None] + within).ravel()[:REQUESTS_MAX], start_s, end_s)

    return pace


def _within(times: Floats, start_s: float, end_s: float) -> Floats:
    return times[(times >= start_s) & (times < end_s)]
