"""The many ways in which gateways write the time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from streams.codec import InvalidRequest, parse_rfc3339
from streams.gateway.entry import Fields, find

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLF = re.compile(
    r"(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d):([0-5]\d(?:\.\d{1,9})?) ([+-]\d{4})", re.ASCII
)
_EPOCH = re.compile(r"\d{1,19}(\.\d{1,9})?", re.ASCII)
#: Epoch times carry no unit, but seconds, milli-, micro- and nanoseconds of this century are
#: three digits apart: above each bound (the year 5138 in the unit below) the next unit is meant.
_EPOCH_UNITS = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))


def parse_clf(text: str) -> float:
    """Read the Common Log Format's time as Unix seconds.

    Month names are read as the format has them, in English, whatever the locale.

    Raises
    ------
    InvalidRequest
        It is no such time.

    >>> parse_clf("02/Mar/2024:21:00:00 +0100")
    1709409600.0
    """
    found = _CLF.fullmatch(text)
    if not found:
        raise InvalidRequest("bad-line", f"time: {text}")
    minute, second, offset = found.groups()
    return _minute_s(minute, offset) + float(second)


@lru_cache(maxsize=1_024)  # a log stays in one minute for long; this is most of a day
def _minute_s(minute: str, offset: str) -> float:
    sign = -1 if offset[0] == "-" else 1
    try:
        ahead = sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        return datetime(
            int(minute[7:11]),
            _MONTHS.index(minute[3:6]) + 1,
            int(minute[:2]),
            int(minute[12:14]),
            int(minute[15:]),
            tzinfo=timezone(ahead),
        ).timestamp()
    except ValueError as error:
        raise InvalidRequest("bad-line", f"time: {minute} {offset}: {error}") from None


def event_time_s(fields: Fields, *names: str) -> float:
    """Return the first of the named times as Unix seconds, in whatever way it is written.

    RFC 3339, the Common Log Format, and epoch times in seconds, milli-, micro- or nanoseconds.

    Raises
    ------
    InvalidRequest
        None of the fields is there, or the first that is holds no time.
    """
    for name in names:
        value = find(fields, name)
        # OTLP writes a time that is not known as 0.
        if value is not None and value not in ("", "-", 0, "0"):
            return _instant_s(value, name)
    raise InvalidRequest("missing-field", names[0])


def _instant_s(value: Any, name: str) -> float:
    if isinstance(value, str):
        if _EPOCH.fullmatch(value):
            value = float(value) if "." in value else int(value)
        elif value[2:3] == "/":
            return parse_clf(value)
        else:
            return parse_rfc3339(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest("wrong-type", f"{name}: a time was expected")
    per_second = next((unit for bound, unit in _EPOCH_UNITS if value > bound), 1)
    try:
        # Whole numbers divide exactly; as a float the nanoseconds would be rounded first.
        return value / per_second
    except OverflowError:
        raise InvalidRequest("out-of-range", f"{name}: no clock shows this time") from None
