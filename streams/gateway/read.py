"""From log files to requests in order: everything that `replay` needs of a log."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from models.request import Request
from streams.codec import InvalidReason
from streams.errors import OperatorError
from streams.gateway import FORMATS
from streams.gateway.files import Progress, read_lines
from streams.gateway.format import BadRecord, Format
from streams.gateway.reorder import in_order
from streams.settings import Gateway, Settings

#: Lines read at once where nothing is unusual about them: enough that it costs each hardly more
#: than its decoding.
_BLOCK_LINES = 128


class LoggedRequest(NamedTuple):
    """A request and where it stands; lines count from 1."""

    request: Request
    path: str
    line: int


class BadLine(NamedTuple):
    """A line that is no request, or one record of a line that holds many.

    `original` is no longer than the format's lines may be, and one byte.
    """

    reason: InvalidReason
    detail: str
    path: str
    line: int
    original: bytes


def read_requests(
    paths: Sequence[str],
    format_name: str,
    settings: Settings,
    arrived_s: float,
    progress: Progress | None = None,
) -> Iterator[LoggedRequest | BadLine]:
    """Read log files one after the other, as one log put in order.

    Bad lines come out where they stand; requests pass a buffer that puts them in order as far as
    `gateway.reorder_window_s` and `gateway.reorder_lines_max` go. Empty lines are passed over.
    The same files in the same order always give the same requests, ids included.

    Parameters
    ----------
    paths
        The files, `-` for standard input.
    format_name
        A key of `FORMATS`.
    settings
        Their `gateway` section says how a line is read.
    arrived_s
        The present moment, Unix seconds: event times more than an hour later are refused.
    progress
        `Progress.of(paths)`, where somebody wants to see how far reading has got.

    Raises
    ------
    OperatorError
        At once: an unknown format, settings that do not fit it, a file that is not there. While
        reading: a file that can't be read to its end.
    """
    if format_name not in FORMATS:
        raise OperatorError(
            f"there is no log format {format_name!r}; there are: {', '.join(sorted(FORMATS))}"
        )
    log_format, gateway = FORMATS[format_name], settings.gateway
    reader = _Reader(log_format, gateway, arrived_s)
    lines = reader.read(paths, progress or Progress.of(paths))
    return in_order(lines, _time_s, gateway.reorder_window_s, gateway.reorder_lines_max)


def _time_s(line: LoggedRequest | BadLine) -> float | None:
    return line.request.ts if isinstance(line, LoggedRequest) else None


class _Reader:
    """Reads lines of one format, a block at a time."""

    def __init__(self, log_format: Format, gateway: Gateway, arrived_s: float) -> None:
        self._format = log_format
        self._arrived_s = arrived_s
        self._read_line = log_format.reader(gateway, arrived_s)

    def read(self, paths: Sequence[str], progress: Progress) -> Iterator[LoggedRequest | BadLine]:
        for path, name in zip(paths, _names(paths), strict=True):
            lines = read_lines(path, self._format.line_bytes_max, progress)
            while block := list(islice(lines, _BLOCK_LINES)):
                usual = self._format.read_usual([line for _, line in block], self._arrived_s)
                if usual is None:
                    yield from self._read_each(block, path, name)
                    continue
                for (number, _), request in zip(block, usual, strict=True):
                    yield LoggedRequest(request, path, number)

    def _read_each(
        self, lines: list[tuple[int, bytes]], path: str, name: str
    ) -> Iterator[LoggedRequest | BadLine]:
        line_bytes_max = self._format.line_bytes_max
        for number, line in lines:
            if len(line) > line_bytes_max:
                yield BadLine("too-large", f"over {line_bytes_max} bytes", path, number, line)
                continue
            if not line.strip():
                continue
            for record in self._read_line(line, f"{name}:{number}"):
                if isinstance(record, BadRecord):
                    error = record.error
                    yield BadLine(error.reason, error.detail, path, number, record.original)
                else:
                    yield LoggedRequest(record, path, number)


def _names(paths: Sequence[str]) -> list[str]:
    """Name each file for the ids of its lines: without its folder, so that a copy elsewhere
    gives the same ids, and numbered where the same name comes again.
    """
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        name = os.path.basename(path)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names
