"""Log files as lines: plain, gzip, zstd or standard input, in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import zstandard

from streams.errors import OperatorError

STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: zstd packs 128 KiB into 4 bytes at best, and its decompressor returns all that an input holds:
#: this much makes 8 MiB at most.
_ZSTD_INPUT_BYTES = 256
#: What `zstd` itself takes without `--long`; a larger window is memory that a file demands of us.
_ZSTD_WINDOW_BYTES_MAX = 2**27
_BUFFER_BYTES = 64 * 1_024


class Progress:
    """How much of the input has been read, for a progress bar.

    Attributes
    ----------
    bytes_read
        Bytes of the files as they lie on disk, compressed or not.
    bytes_total
        The sum of their sizes; `None` where one has no size (a pipe).
    """

    def __init__(self, bytes_total: int | None) -> None:
        self.bytes_read = 0
        self.bytes_total = bytes_total

    @classmethod
    def of(cls, paths: Sequence[str]) -> Progress:
        """Measure the inputs.

        Raises
        ------
        OperatorError
            One of them is not there, or is no file.
        """
        sizes = [_size(path) for path in paths]
        known = [size for size in sizes if size is not None]
        return cls(sum(known) if len(known) == len(sizes) else None)


def read_lines(path: str, line_bytes_max: int, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """Yield a log's lines with their numbers, from 1, without their line ends.

    Compression is told by the name (`.gz`, `.zst`) or by the first bytes. Of a line that is too
    long the first `line_bytes_max + 1` bytes are kept, so that it is seen to be too long.

    Parameters
    ----------
    path
        A file, or `-` for standard input.
    line_bytes_max
        How long a line may be.
    progress
        Is told of what is read.

    Raises
    ------
    OperatorError
        The file can't be opened or read, or its compressed data are cut short or damaged; names
        the file and how far reading got.
    """
    number = 0
    with _open(path) as file:
        counted = _Counted(file, progress)
        try:
            stream = _decompressed(path, io.BufferedReader(counted, _BUFFER_BYTES))
            for number, line in _lines(stream, line_bytes_max):
                yield number, line
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise OperatorError(
                f"{path}: can't be read beyond line {number} (byte {counted.bytes_read} of the "
                f"file): {error}"
            ) from None


def _lines(stream: io.BufferedIOBase, line_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(line_bytes_max + len(b"\r\n")):
        number += 1
        if len(line) > line_bytes_max and not line.endswith(b"\n"):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(_BUFFER_BYTES)
            yield number, line[: line_bytes_max + 1]
        else:
            yield number, line.rstrip(b"\r\n")


def _size(path: str) -> int | None:
    if path == STDIN:
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        raise OperatorError(f"{path}: a file was expected, this is a directory")
    return found.st_size if stat.S_ISREG(found.st_mode) else None


@contextmanager
def _open(path: str) -> Iterator[io.BufferedIOBase]:
    if path == STDIN:
        yield cast(io.BufferedIOBase, sys.stdin.buffer)
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 -- only opening may fail here, not what follows
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    with file:
        yield file


def _decompressed(path: str, stream: io.BufferedReader) -> io.BufferedIOBase:
    magic = stream.peek(len(_ZSTD_MAGIC))
    if path.endswith(".gz") or magic.startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=stream)
    if path.endswith(".zst") or magic.startswith(_ZSTD_MAGIC):
        return io.BufferedReader(_Zstd(stream), _BUFFER_BYTES)
    return stream


class _Counted(io.RawIOBase):
    """Passes a file on and counts what passes."""

    def __init__(self, file: io.BufferedIOBase, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # One read of the system at a time: a pipe's lines are not held back to fill the buffer.
        chunk = self._file.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        self.bytes_read += len(chunk)
        self._progress.bytes_read += len(chunk)
        return len(chunk)


class _Zstd(io.RawIOBase):
    """Reads frame after frame; unlike zstandard's own reader it notices a frame cut short."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._stream.read(_ZSTD_INPUT_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the zstd data end before their frame does")
                return 0
            self._output = memoryview(self._decompress())
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _decompress(self) -> bytes:
        if self._frame is None:
            decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
            self._frame = decompressor.decompressobj()
        output = self._frame.decompress(self._input)
        self._input = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return output
