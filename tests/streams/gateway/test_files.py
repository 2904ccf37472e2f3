"""Logs are read line by line, packed or not, in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import OperatorError
from streams.gateway.files import Progress, read_lines

Pack = Callable[[bytes], bytes]
LINE_MAX = 100
LINES = [b"line %d " % n + b"x" * (n % 50) for n in range(5_000)]
TEXT = b"\n".join(LINES) + b"\n"
# Does not compress, so that what is cut off is always data.
NOISE = random.Random(1).randbytes(200_000).hex().encode()


def lines(path: Path, line_bytes_max: int = LINE_MAX) -> list[tuple[int, bytes]]:
    return list(read_lines(str(path), line_bytes_max, Progress(None)))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKS: dict[str, Pack] = {"": bytes, ".gz": gzip.compress, ".zst": zstd}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("named", [True, False], ids=["by name", "by its first bytes"])
def test_a_log_is_read_packed_or_not(tmp_path: Path, suffix: str, named: bool) -> None:
    path = tmp_path / f"access.log{suffix if named else '.1'}"
    path.write_bytes(PACKS[suffix](TEXT))
    assert lines(path) == list(enumerate(LINES, start=1))


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_logs_may_be_put_one_after_the_other(log: Path, pack: Pack) -> None:
    log.write_bytes(pack(b"a\nb") + pack(b"c\n") + pack(b"") + pack(b"d"))
    assert lines(log) == [(1, b"a"), (2, b"bc"), (3, b"d")]


def test_line_ends_of_either_kind_are_cut_off_and_the_last_may_be_missing(log: Path) -> None:
    log.write_bytes(b"a\r\n\nb\n\xffc\rd")
    assert lines(log) == [(1, b"a"), (2, b""), (3, b"b"), (4, b"\xffc\rd")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_over_long_line_is_cut_and_reading_goes_on(log: Path, end: bytes) -> None:
    log.write_bytes(b"x" * LINE_MAX + end + b"y" * 1_000_000 + end + b"z" + end)
    (_, at_the_limit), (_, over), (number, after) = lines(log)
    assert at_the_limit == b"x" * LINE_MAX
    assert over == b"y" * (LINE_MAX + 1)
    assert (number, after) == (3, b"z")


@given(st.lists(st.binary(max_size=12).filter(lambda line: not set(line) & set(b"\r\n"))))
def test_any_line_longer_than_the_limit_is_seen_to_be(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("logs") / "log"
    path.write_bytes(b"".join(line + b"\n" for line in written))
    if path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):  # packed by chance
        return
    read = [line for _, line in lines(path, line_bytes_max=8)]
    assert read == [line[:9] for line in written]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_bomb_of_one_endless_line_stays_small(log: Path, pack: Pack) -> None:
    log.write_bytes(pack(bytes(2**27)))
    tracemalloc.start()
    ((_, line),) = lines(log)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(line) == LINE_MAX + 1
    assert peak_bytes < 2**25


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_cut_short_is_the_operators_to_mend(tmp_path: Path, suffix: str) -> None:
    packed = PACKS[suffix](TEXT + NOISE + TEXT)
    path = tmp_path / f"access.log{suffix}"
    path.write_bytes(packed[:-5_000])
    with pytest.raises(OperatorError, match=rf"access\.log\{suffix}: .*line \d+ \(byte \d+") as e:
        lines(path)
    assert str(len(packed) - 5_000) in str(e.value)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_packed_as_its_name_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"access.log{suffix}"
    path.write_bytes(TEXT)
    with pytest.raises(OperatorError, match="beyond line 0"):
        lines(path)


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_damaged_data_are_refused(log: Path, pack: Pack) -> None:
    packed = bytearray(pack(NOISE))
    packed[1_000:1_100] = bytes(100)
    log.write_bytes(packed)
    with pytest.raises(OperatorError, match="can't be read"):
        lines(log, line_bytes_max=2**20)


def test_an_empty_file_has_no_lines(log: Path) -> None:
    log.write_bytes(b"")
    assert lines(log) == []


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="gone: No such file"):
        Progress.of([str(tmp_path / "gone")])
    with pytest.raises(OperatorError, match="directory"):
        Progress.of([str(tmp_path)])
    with pytest.raises(OperatorError, match="gone: No such file"):
        lines(tmp_path / "gone")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_progress_counts_the_bytes_on_disk(log: Path, pack: Pack) -> None:
    log.write_bytes(pack(TEXT))
    progress = Progress.of([str(log), str(log)])
    assert progress.bytes_total == 2 * log.stat().st_size
    seen = [progress.bytes_read for _ in read_lines(str(log), LINE_MAX, progress)]
    assert seen == sorted(seen)
    assert progress.bytes_read == log.stat().st_size


def test_standard_input_is_read_and_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink:
        sink.write(gzip.compress(b"a\nb\n"))
    with os.fdopen(reading, "rb") as source:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        progress = Progress.of(["-"])
        assert list(read_lines("-", LINE_MAX, progress)) == [(1, b"a"), (2, b"b")]
    assert progress.bytes_total is None
    assert progress.bytes_read > 0
