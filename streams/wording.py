"""Figures as people say them."""

from __future__ import annotations

from itertools import pairwise

from streams.render import moment

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """Return how long something lasts, in at most two units.

    >>> [duration(seconds) for seconds in (0.4, 59, 3_600, 7_830, 90_000, 864_000)]
    ['0 s', '59 s', '1 h', '2 h 10 min', '1 d 1 h', '10 d']
    """
    left = int(abs(seconds))
    for (size, unit), (below, smaller) in pairwise(_UNITS):
        if left >= size:
            rest = left % size // below
            return f"{left // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{left} s"


def count(number: float, noun: str) -> str:
    """Return a number with its noun, which takes an `s`.

    >>> count(1, "request"), count(4_120, "pair")
    ('1 request', '4,120 pairs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def figure(number: float) -> str:
    """Return a measured number with as many digits as a person compares.

    >>> [figure(number) for number in (0, 0.05, 2.94, 12.0, 126.4, 4120.0)]
    ['0', '0.05', '2.9', '12', '126', '4,120']
    """
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.2g}" if abs(number) < 10 else f"{number:.3g}"


def seconds_between(earlier: str, later: str) -> float:
    """Return the time between two RFC 3339 times; below zero if they are the other way round.

    Raises
    ------
    ValueError
        One of them is none.
    """
    return (moment(later) - moment(earlier)).total_seconds()


def time_of(text: str) -> str:
    """Return an RFC 3339 time as it is read in a sentence.

    >>> time_of("2024-03-02T20:10:00.250Z")
    '2024-03-02 20:10:00 UTC'
    """
    return f"{moment(text):%Y-%m-%d %H:%M:%S} UTC"


def safe(text: str) -> str:
    """Return words that may hold anything as they may stand on a terminal: escaped, but readable.

    >>> print(safe("a curator, J\\xf6rg \\x1b[2K"))
    a curator, J\\xf6rg \\x1b[2K
    """
    return text.encode("unicode_escape").decode("ascii")
