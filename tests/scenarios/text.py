"""Figures as text."""

from __future__ import annotations

from collections.abc import Sequence

#: Where there is nothing to tell.
DASH = "–"


def percent(part: float, whole: float) -> str:
    """Return a share in per cent, with more digits where it is small."""
    if not whole:
        return DASH
    share = 100 * part / whole
    return f"{share:.2f} %" if 0 < share < 0.095 else f"{share:.{0 if share >= 9.95 else 1}f} %"


def span(seconds: float) -> str:
    """Return a time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def listed(seeds: Sequence[int]) -> str:
    """Return numbers with commas between."""
    return ", ".join(map(str, seeds))


def listing(lines: Sequence[str], mark: str = "  ") -> str:
    """Return a line each behind a mark, `none` for nothing."""
    return "\n".join(mark + line for line in lines or ["none"])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also stand straight on a terminal."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
