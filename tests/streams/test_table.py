"""What of the state is damaged is set aside, whatever is wrong with it, and never misread."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import faust
import pytest
from faust.types import TP

from streams.errors import OperatorError
from streams.outbox import Row
from streams.table import ROCKSDB_OPTIONS, DamagedStateError, StateTable

ROWS = 20_000


class Taken(NamedTuple):
    """A record of the changelog, as far as the table looks at it."""

    offset: int
    key: bytes
    value: bytes | None


def table_in(directory: Path) -> StateTable:
    app = faust.App("test", datadir=directory, store="rocksdb://", autodiscover=False)
    app.finalize()
    options = ROCKSDB_OPTIONS | {"write_buffer_size": 2**16}  # many files out of few rows
    return StateTable(
        app, name="accounts", partitions=1, key_type=bytes, value_type=bytes, options=options
    )


@pytest.fixture
def open_table(tmp_path: Path) -> Callable[[], StateTable]:
    """Return what opens the table as a new process would; gives its database up at the end."""

    return lambda: table_in(tmp_path)


@pytest.fixture
def database(open_table: Callable[[], StateTable]) -> Path:
    """Write rows and a marker's changelog offset; return where the database stands."""
    table, chance = open_table(), random.Random(1)
    for start in range(0, ROWS, 1_000):
        rows = [Row(b"%d" % n, chance.randbytes(60)) for n in range(start, start + 1_000)]
        table.write(0, rows, changelog_offset=start)
    path: Path = table.data.partition_path(0)
    table.data._dbs.pop(0)._database.close()
    return path


def close(table: StateTable) -> None:
    table.data._dbs.pop(0)._database.close()


def files(database: Path, pattern: str) -> Iterator[Path]:
    yield from (file for file in sorted(database.glob(pattern)) if file.stat().st_size)


def turn_bits(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for at in range(0, len(data), 64):
        data[at] ^= 0xFF
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("spoil", [turn_bits, cut, Path.unlink])
@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.sst"])
def test_a_damaged_database_is_set_aside_and_nothing_is_read_of_it(
    open_table: Callable[[], StateTable],
    database: Path,
    caplog: pytest.LogCaptureFixture,
    pattern: str,
    spoil: Callable[[Path], None],
) -> None:
    for file in files(database, pattern):
        spoil(file)
    table = open_table()
    assert read_all(table) == 0
    assert table.data._db_for_partition(0).get(table.data.offset_key) is None
    assert "state of partition 0 is damaged" in caplog.text
    assert database.with_suffix(".damaged").is_dir()
    table.write(0, [Row(b"new", b"row")], changelog_offset=1)
    assert table.reader(0)(b"new") == b"row"
    close(table)


def read_all(table: StateTable) -> int:
    get = table.reader(0)
    return sum(get(b"%d" % n) is not None for n in range(ROWS))


def test_a_manifest_that_is_cut_anywhere_makes_no_hole_in_the_state(
    open_table: Callable[[], StateTable], tmp_path: Path
) -> None:
    table = open_table()
    for n in range(0, 100, 20):  # as after a recovery and then at work, several times
        table.take_up(0, [Taken(m, b"%d" % m, bytes(200)) for m in range(n, n + 10)])
        for m in range(n + 10, n + 20):
            table.write(0, [Row(b"%d" % m, bytes(200))], changelog_offset=m)
    path: Path = table.data.partition_path(0)
    close(table)
    shutil.copytree(path, tmp_path / "whole")
    manifest = next(files(tmp_path / "whole", "MANIFEST-*")).read_bytes()
    reached = set()
    for size in range(0, len(manifest) + 1, 7):
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "whole", path)
        next(files(path, "MANIFEST-*")).write_bytes(manifest[:size])
        table = open_table()
        reaches = int(table.data._db_for_partition(0).get(table.data.offset_key) or -1)
        get = table.reader(0)
        assert [n for n in range(100) if get(b"%d" % n)] == list(range(reaches + 1))
        reached.add(reaches)
        close(table)
    assert reached == {-1, 99}


def test_damage_that_shows_in_mid_work_ends_the_work_and_is_set_aside(
    open_table: Callable[[], StateTable], database: Path
) -> None:
    found = list(files(database, "*.sst"))
    data = bytearray(found[0].read_bytes())
    data[100:400] = bytes(300)  # in the first block of rows; what opening reads stays whole
    found[0].write_bytes(data)
    table = open_table()
    with pytest.raises(DamagedStateError, match=r"partition 0 is damaged .*start again"):
        read_all(table)
    table.data._dbs.clear()
    again = open_table()
    assert read_all(again) == 0
    close(again)


def test_a_database_that_somebody_still_holds_is_taken_up_as_it_is(
    open_table: Callable[[], StateTable], database: Path
) -> None:
    table = open_table()
    held = table.reader(0)
    table.data.revoke_partitions(table, {TP(table.changelog_topic.get_topic_name(), 0)})
    table.write(0, [Row(b"new", b"row")], changelog_offset=ROWS)
    assert held(b"new") == table.reader(0)(b"new") == b"row"


def test_a_disk_that_takes_nothing_is_told_in_the_operators_words(
    open_table: Callable[[], StateTable],
) -> None:
    table = open_table()
    path: Path = table.data.partition_path(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no directory")
    with pytest.raises(OperatorError, match=r"^state\.directory: .*empty directory"):
        table.reader(0)


def test_a_database_that_is_open_elsewhere_is_no_damage(
    open_table: Callable[[], StateTable], database: Path
) -> None:
    first = open_table()
    assert read_all(first) == ROWS
    with pytest.raises(Exception, match="lock"):
        open_table().reader(0)
    assert read_all(first) == ROWS
    close(first)


@pytest.mark.parametrize("spoil", ["cut", "turned"])
def test_a_journal_with_a_damaged_end_gives_the_state_of_an_earlier_checkpoint(
    open_table: Callable[[], StateTable], tmp_path: Path, spoil: str
) -> None:
    table = open_table()
    for n in range(10):
        table.write(0, [Row(b"%d" % n, bytes(200))], changelog_offset=n)
    path: Path = table.data.partition_path(0)
    shutil.copytree(path, tmp_path / "whole")  # as a power cut finds it
    close(table)
    offsets = set()
    journal = next(files(tmp_path / "whole", "*.log")).read_bytes()
    for size in range(0, len(journal), 97):
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "whole", path)
        end = b"" if spoil == "cut" else bytes(byte ^ 0xFF for byte in journal[size:])
        next(files(path, "*.log")).write_bytes(journal[:size] + end)
        table = open_table()
        known = table.data._db_for_partition(0).get(table.data.offset_key)
        reaches = -1 if known is None else int(known)
        get = table.reader(0)
        assert [n for n in range(10) if get(b"%d" % n)] == list(range(reaches + 1))
        offsets.add(reaches)
        close(table)
    assert len(offsets) > 5


def taken_up(end: int) -> Iterator[list[Taken]]:
    chance = random.Random(2)
    for offset in range(0, end, 20):
        yield [
            Taken(n, b"%d" % chance.randrange(900), chance.choice([None, chance.randbytes(90)]))
            for n in range(offset, offset + 20)
        ]


def take_up_and_crash(directory: Path, end: int, goes_on_at: int) -> None:
    """Recover, then work on, and be killed in the middle of it."""
    table = table_in(directory)
    for some in taken_up(end):
        if some[0].offset < goes_on_at:
            table.take_up(0, some)
        else:
            table.write(0, [Row(one.key, one.value) for one in some], some[-1].offset)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("end", "goes_on_at"), [(1_500, 9_999), (6_000, 9_999), (1_500, 1_000)])
def test_a_crash_leaves_a_beginning_of_what_was_taken_up_of_the_changelog(
    tmp_path: Path, end: int, goes_on_at: int
) -> None:
    crashing = get_context("spawn").Process(
        target=take_up_and_crash, args=(tmp_path, end, goes_on_at)
    )
    crashing.start()
    crashing.join()
    assert crashing.exitcode == -signal.SIGKILL
    table = table_in(tmp_path)
    reaches = int(table.data._db_for_partition(0).get(table.data.offset_key) or -1)
    assert reaches == end - 1 or goes_on_at > end
    rows = {one.key: one.value for some in taken_up(reaches + 1) for one in some}
    get = table.reader(0)
    found = {b"%d" % n: value for n in range(900) if (value := get(b"%d" % n)) is not None}
    assert found == {key: value for key, value in rows.items() if value is not None}
    close(table)
