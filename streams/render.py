"""Decisions in one line each, for people."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from rich.text import Text

from models.decision import Decision
from streams.codec import parse_rfc3339

#: An id is named so that a person recognises it; columns stay columns.
SHOWN_CHARS_MAX = 48
#: Says that nobody acts on the decision.
SIMULATED = "simulated"

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # printable ASCII but for space, quote and backslash
_STYLES = {"throttle": "yellow", "ban": "bold red", "review": "magenta", "release": "green"}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def printable(text: str, chars_max: int = SHOWN_CHARS_MAX) -> str:
    """Return an id as it may stand on a terminal or in a log line.

    Anything but plain ASCII (control characters, text that runs from right to left, but spaces
    too, which would look like the next column) is quoted and escaped: an id can't forge a line.

    >>> printable("acct_17")
    'acct_17'
    >>> print(printable("a b\\x1b[2K"))
    "a b\\u001b[2K"
    """
    shown = text if len(text) <= chars_max else text[: chars_max - 3] + "..."
    return shown if _PLAIN.fullmatch(shown) else json.dumps(shown)


def describe(decision: Decision) -> str:
    """Return the decision as one line: when, what, whom, why, how many pairs, until when."""
    return styled(decision).plain


def styled(decision: Decision) -> Text:
    """Return the line of `describe` with colours for a terminal.

    Raises
    ------
    ValueError
        `issued_at` or `expires_at` is not RFC 3339.
    """
    issued = moment(decision.issued_at)
    action: str = decision.action
    if decision.limit_per_minute is not None:
        action += f" {decision.limit_per_minute:g}/min"
    line = Text(f"{issued:%Y-%m-%d %H:%M:%S}Z")
    line.append(f"  {action:<18}", style=_STYLES[decision.action])
    line.append(f"  {printable(decision.value):<20}", style="bold")
    line.append(f"  {printable(decision.scenario):<17}")
    line.append(f"  {decision.evidence.distinct_pairs:>9,} pairs")
    line.append(f"  {_duration(decision, issued):<9}")
    if decision.simulated:
        line.append(f"  {SIMULATED}", style="dim italic")
    line.rstrip()
    return line


def _duration(decision: Decision, issued: datetime) -> str:
    if decision.expires_at is None:
        return ""
    seconds = (moment(decision.expires_at) - issued).total_seconds()
    size, unit = next((u for u in _UNITS if seconds >= u[0]), _UNITS[-1])
    return f"for {seconds / size:.3g} {unit}"


def moment(text: str) -> datetime:
    """Read one of a decision's times.

    Raises
    ------
    ValueError
        Not RFC 3339, or outside the years 1 to 9999.
    """
    return datetime.fromtimestamp(parse_rfc3339(text), UTC)
