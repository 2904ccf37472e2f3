"""Writing simulated traffic and its labels as JSON lines, to a file or to standard output."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import BinaryIO, cast

import msgspec
import zstandard

from models.request import Request
from streams.errors import OperatorError
from streams.simulate.labels import Label

#: Lines joined into one write.
_BATCH = 1_000


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file for writing; `.gz` and `.zst` are compressed, `-` is standard output.

    Raises
    ------
    OperatorError
        The file can't be written, or not to its end.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") as plain, _packed(path, plain) as out:
            yield out
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror or error}") from None


def _packed(path: str, plain: BinaryIO) -> AbstractContextManager[BinaryIO]:
    if path.endswith(".gz"):
        # No name and no time in the header: the same traffic is the same file.
        return cast(BinaryIO, gzip.GzipFile("", "wb", 6, plain, mtime=0))
    if path.endswith(".zst"):
        packer = zstandard.ZstdCompressor(level=3)
        return cast(BinaryIO, packer.stream_writer(plain, closefd=False))
    return nullcontext(plain)


def write_lines(events: Iterable[Request | Label], out: BinaryIO) -> int:
    """Write one JSON object a line; return how many."""
    encode = msgspec.json.Encoder().encode_lines
    events, count = iter(events), 0
    while batch := list(islice(events, _BATCH)):
        out.write(encode(batch))
        count += len(batch)
    return count


def write_labels(labels: Sequence[Label], path: str) -> None:
    """Write the labels, one JSON object a line."""
    with opened(path) as out:
        write_lines(labels, out)
