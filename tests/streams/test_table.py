"""What of the state is damaged is set aside, whatever is wrong with it, and never misread."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

import faust
import pytest
from faust.types import TP

from streams.errors import OperatorError
from streams.outbox import Row
from streams.table import ROCKSDB_OPTIONS, DamagedStateError, StateTable

ROWS = 20_000


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
    path: Path = table.data.partition_path(0)
    for n in range(0, 100, 20):  # each time it is opened again another file
        table = open_table()
        for m in range(n, n + 20):
            table.write(0, [Row(b"%d" % m, bytes(200))], changelog_offset=m)
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


def written(end: int) -> Iterator[list[Row]]:
    chance = random.Random(2)
    for _ in range(0, end, 20):
        yield [
            Row(b"%d" % chance.randrange(900), chance.choice([None, chance.randbytes(90)]))
            for _ in range(20)
        ]


def write_and_end(directory: Path, end: int, *, is_killed: bool) -> None:
    table = table_in(directory)
    for n, rows in enumerate(written(end)):
        table.write(0, rows, changelog_offset=20 * n + 19)
    if is_killed:
        os.kill(os.getpid(), signal.SIGKILL)
    close(table)


@pytest.mark.parametrize("end", [1_500, 6_000])
@pytest.mark.parametrize("is_killed", [True, False])
def test_an_end_leaves_all_that_was_written_and_a_crash_a_beginning_of_it(
    tmp_path: Path, end: int, is_killed: bool
) -> None:
    process = get_context("spawn").Process(
        target=write_and_end, args=(tmp_path, end), kwargs={"is_killed": is_killed}
    )
    process.start()
    process.join()
    assert process.exitcode == (-signal.SIGKILL if is_killed else 0)
    table = table_in(tmp_path)
    reaches = int(table.data._db_for_partition(0).get(table.data.offset_key) or -1)
    assert (reaches + 1) % 20 == 0
    assert is_killed or reaches == end - 1
    assert reaches > 0 or end == 1_500  # what its buffers can't hold is on the disk
    rows = {row.key: row.value for some in written(reaches + 1) for row in some}
    get = table.reader(0)
    found = {b"%d" % n: value for n in range(900) if (value := get(b"%d" % n)) is not None}
    assert found == {key: value for key, value in rows.items() if value is not None}
    close(table)
