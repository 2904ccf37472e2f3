"""When honest customers come: sessions of people by time zone and weekday, and machines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.simulate.accounts import Accounts
from streams.simulate.draws import Draws, Floats, Ints, Keys
from streams.simulate.people import HOURS, WEEK, Kind
from streams.simulate.rows import ragged_arange, running_sum

DAY_S = 86_400.0
SESSIONS_MAX = 8
#: Nobody clicks more often than this in one sitting.
REQUESTS_MAX = 1_200
#: Where jitter would let a machine drift: it keeps its schedule to this share of its period.
MACHINE_JITTER = 0.02
#: A public holiday: its first day (a share of the run) and its days; who is away, by rhythm, and
#: how much more those do who stay, and those who come back on the day after.
HOLIDAY_BEGINS, HOLIDAY_DAYS = 0.6, 2
HOLIDAY_AWAY = {"home": 0.4, "office": 0.9}
HOLIDAY_AT_HOME, HOLIDAY_BACK = 1.6, 2.5


@dataclass
class Sessions:
    """Sessions of one kind on one day, by account and then by number; and their request times."""

    slot: Ints
    number: Ints
    count: Ints
    #: Of each request: the session it is in, and when.
    of_row: Ints
    ts: Floats
    #: Randomness of each request's own.
    row_bits: Keys


def sessions_of(
    kind: Kind,
    slots: Ints,
    accounts: Accounts,
    draws: Draws,
    day: int,
    days: float,
    start_s: float,
    *,
    holiday: bool = False,
) -> Sessions:
    """Place a kind's sessions on a day (UTC; `day` counts from the start of the run).

    With a `holiday` in the run, people go away for it and come back all at once.
    """
    key = accounts.key[slots]
    factor = _story(kind, key, draws, day, days)
    if holiday:
        factor = factor * _holiday(kind, key, draws, day, days)
    active = draws.uniform("active", day, key) < accounts.chance[slots] * (factor > 0)
    slots, key, factor = slots[active], key[active], factor[active]
    if kind.period_s is not None:
        return _machines(slots, key, accounts, draws, day, start_s)
    wished = draws.lognormal(*kind.sessions, "sessions", day, key)
    many = np.round(np.clip(wished, 1, SESSIONS_MAX)).astype(np.int64)
    slot, factor, number = np.repeat(slots, many), np.repeat(factor, many), ragged_arange(many)
    key = accounts.key[slot]
    begin = start_s + day * DAY_S
    hours = np.cumsum(HOURS[kind.rhythm], dtype=np.float64)
    points = draws.uniform("hour", day, key, number) * hours[-1]
    local_h = np.interp(points, np.concatenate([[0.0], hours]), np.arange(25.0))
    starts = begin + (local_h * 3600.0 - accounts.zone_s[slot]) % DAY_S
    # 1970-01-01 was a Thursday: weekday 3 counted from Monday.
    weekday = ((starts + accounts.zone_s[slot]) // DAY_S + 3).astype(np.int64) % 7
    comes = draws.uniform("weekday", day, key, number) < np.array(WEEK[kind.rhythm])[weekday]
    slot, number, key, starts = slot[comes], number[comes], key[comes], starts[comes]
    median = kind.requests[0] * accounts.activity[slot] * factor[comes]
    wished = draws.lognormal(median, kind.requests[1], "requests", day, key, number)
    count = np.round(np.clip(wished, 1, REQUESTS_MAX)).astype(np.int64)
    of_row = np.repeat(np.arange(len(slot)), count)
    row_bits = draws.bits("row", day, key[of_row], number[of_row], ragged_arange(count))
    gaps = draws.lognormal(*kind.gap_s, "gap", row_bits)
    gaps[np.cumsum(count) - count] = 0.0
    ts = np.repeat(starts, count) + running_sum(gaps, count)
    return Sessions(slot, number, count, of_row, ts, row_bits)


def _machines(
    slots: Ints, key: Ints, accounts: Accounts, draws: Draws, day: int, start_s: float
) -> Sessions:
    """Let machines run all day, each on its schedule."""
    period_s = accounts.period_s[slots]
    phase = draws.uniform("phase", key) * period_s
    begin = day * DAY_S
    first = np.ceil((begin - phase) / period_s).astype(np.int64)
    count = np.ceil((begin + DAY_S - phase) / period_s).astype(np.int64) - first
    of_row = np.repeat(np.arange(len(slots)), count)
    turn = first[of_row] + ragged_arange(count)
    row_bits = draws.bits("row", day, key[of_row], turn)
    jitter = draws.between(0.0, MACHINE_JITTER, "jitter", row_bits)
    ts = start_s + phase[of_row] + (turn + jitter) * period_s[of_row]
    return Sessions(slots, np.zeros_like(slots), count, of_row, ts, row_bits)


def _story(kind: Kind, key: Ints, draws: Draws, day: int, days: float) -> Floats:
    """Return how much more (or less, or not at all) accounts do on a day than by habit."""
    turn = np.floor(draws.between(0.15, 0.85, "story", key) * days)
    since = day - turn
    if kind.story == "newcomer":
        return np.where(since < 0, 0.0, 1.0 + 1.5 * np.exp(-np.maximum(since, 0) / 2.0))
    if kind.story == "returner":
        return np.where(since < 0, 0.0, np.where(since < 2, 2.5, 1.0))
    if kind.story == "grower":
        return np.where(since < 0, 1.0, 2.0)
    return np.ones(len(key))


def _holiday(kind: Kind, key: Ints, draws: Draws, day: int, days: float) -> Floats:
    """Return how much a public holiday makes of what accounts would do on a day."""
    since = day - int(HOLIDAY_BEGINS * days)
    away = draws.uniform("holiday", key) < HOLIDAY_AWAY.get(kind.rhythm, 0.0)
    if kind.period_s is None and 0 <= since < HOLIDAY_DAYS:
        return np.where(away, 0.0, HOLIDAY_AT_HOME)
    if kind.period_s is None and since == HOLIDAY_DAYS:
        return np.where(away, HOLIDAY_BACK, 1.0)
    return np.ones(len(key))
