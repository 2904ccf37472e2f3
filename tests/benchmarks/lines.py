"""Curves as SVG: one small chart for each thing that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from tests.benchmarks.growth import Point

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 260, 200, 40, 40, 30


def curves(found: Mapping[str, Sequence[Point]]) -> str:
    """Draw microseconds an event against each thing that grows (logarithmic)."""
    highest = max(point.decode + point.judge for points in found.values() for point in points)
    width = _WIDTH * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for n, (what, points) in enumerate(found.items()):
        parts += _chart(_WIDTH * n, what, points, highest)
    return "\n".join([*parts, "</svg>\n"])


def _chart(left: int, what: str, points: Sequence[Point], highest: float) -> list[str]:
    logs = [math.log(point.value) for point in points]
    span = logs[-1] - logs[0]
    across, up = _WIDTH - 2 * _LEFT, _HEIGHT - _BOTTOM - _TOP
    places = [
        (
            left + _LEFT + across * (at - logs[0]) / span,
            _HEIGHT - _BOTTOM - up * (point.decode + point.judge) / highest,
            point,
        )
        for at, point in zip(logs, points, strict=True)
    ]
    base = _HEIGHT - _BOTTOM
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    parts = [
        f'<text x="{left + _LEFT}" y="16" fill="#555555">µs an event, by {escape(what)}</text>',
        f'<path d="M{left + _LEFT} {base}h{across}" stroke="#b8c4ca"/>',
        f'<polyline points="{line}" fill="none" stroke="#1f6f8b" stroke-width="2"/>',
    ]
    for x, y, point in places:
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f6f8b"/>',
            f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">'
            f"{point.decode + point.judge:.0f}</text>",
            f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{point.value:,}</text>',
        ]
    return parts
