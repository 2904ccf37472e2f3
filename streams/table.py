"""The one Faust table: raw rows on RocksDB, each partition written in one go."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

import rocksdict
from faust import Table
from faust.stores import rocksdb

from streams.errors import OperatorError
from streams.outbox import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("pairwatch")

#: RocksDB's appetite. Profiles are small and the hot ones live in Python anyway, so that little of
#: it helps; Faust's defaults take 2 GB of cache and three buffers of 64 MB for each partition.
ROCKSDB_OPTIONS = {
    "driver": "rocksdict",
    "block_cache_size": 64 * 2**20,  # for all partitions together
    "write_buffer_size": 8 * 2**20,  # for each, within the bound for all
    "max_write_buffer_number": 2,
    "bloom_filter_size": 10,
    "max_open_files": 256,
}
#: Of all partitions together: a worker may have hundreds. Beyond it the one written to is flushed.
_WRITE_BUFFERS_BYTES_MAX = 96 * 2**20
#: How RocksDB tells of files that are spoilt or missing; a full disk, a directory that may not be
#: written or a database that is open elsewhere are told in other words.
_DAMAGED = ("Corruption: ", "IO error: No such file or directory")
#: What RocksDB says of the disk, and what rocksdict does.
_DISK = ("IO error: ", "(os error ")
#: A whole file of rows ends with this (kBlockBasedTableMagicNumber of RocksDB's file format).
_FILE_END = 0x88E241B785F4CFF7.to_bytes(8, "little")
_UNLOGGED = rocksdict.WriteOptions()
_UNLOGGED.disable_wal = True


class DamagedStateError(OperatorError):
    """Files of the state turned out to be damaged in the middle of the work."""


class StateTable(Table):  # type: ignore[misc]
    """A table that is read and written by partition, outside of any event.

    Faust's own mapping interface sends one changelog message and makes two RocksDB writes for
    each key; here a checkpoint is one atomic write batch, which carries the changelog offset
    that it corresponds to.
    """

    def _new_store_by_url(self, url: Any) -> _Store:
        return _Store(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            loop=self.loop,
            options=self.options,
        )

    def reader(self, partition: int) -> Callable[[bytes], bytes | None]:
        """Return what reads a row of a partition; it raises `DamagedStateError`."""
        get: Callable[[bytes], bytes | None] = self._database(partition).get
        return get

    def write(self, partition: int, rows: Sequence[Row], changelog_offset: int) -> None:
        """Write rows that the changelog has acknowledged up to an offset.

        Raises
        ------
        DamagedStateError
            What is there turned out to be damaged; it was set aside.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        for row in rows:
            if row.value is None:
                batch.delete(row.key)
            else:
                batch.put(row.key, row.value)
        batch.put(self.data.offset_key, str(changelog_offset).encode())
        self._database(partition).write(batch)

    def take_up(self, partition: int, records: Sequence[Any]) -> None:
        """Write consecutive records of the changelog, as aiokafka reads them.

        They can be read again, so they don't go through RocksDB's journal: a crash leaves a
        beginning of them, and the offset that belongs to it.

        Raises
        ------
        DamagedStateError
            What is there turned out to be damaged; it was set aside.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        for record in records:
            if record.value is None:
                batch.delete(record.key)
            else:
                batch.put(record.key, record.value)
        batch.put(self.data.offset_key, str(records[-1].offset).encode())
        self._database(partition).write_unlogged(batch)

    def settle(self, partition: int) -> None:
        """Make durable what `take_up` wrote."""
        self._database(partition).settle()

    def partitions_on_disk(self) -> list[int]:
        """Return the partitions that have a database, however old it is."""
        return [n for n in range(self.partitions) if self.data.partition_path(n).exists()]

    def _database(self, partition: int) -> Any:
        return self.data._db_for_partition(partition)


class _SharedOptions(rocksdb.RocksDBOptions):  # type: ignore[misc]
    """Faust's options, with one cache and one bound of write buffers for all partitions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._blocks = rocksdict.BlockBasedOptions()
        self._blocks.set_bloom_filter(self.bloom_filter_size, block_based=False)
        self._blocks.set_block_cache(rocksdict.Cache(self.block_cache_size))
        self._buffers = rocksdict.WriteBufferManager(_WRITE_BUFFERS_BYTES_MAX, False)

    def as_options(self) -> Any:
        options = super().as_options()
        options.set_block_based_table_factory(self._blocks)
        options.set_write_buffer_manager(self._buffers)
        return options


class _Store(rocksdb.Store):  # type: ignore[misc]
    """Faust's store, which gives up a damaged database: the changelog has all of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = {key: value for key, value in self.options.items() if key != "driver"}
        self.rocksdb_options = _SharedOptions(**options, use_rocksdict=True)
        #: Databases that somebody still holds on to, as a batch does whose partition was revoked:
        #: RocksDB opens none twice, and none is closed but by the last who lets go of it.
        self._open: WeakValueDictionary[int, _Database] = WeakValueDictionary()

    def _open_for_partition(self, partition: int) -> _Database:
        path = self.partition_path(partition)
        if (held := self._open.get(partition)) is not None:
            return held
        whole = _whole_files(path)
        try:
            database = super()._open_for_partition(partition)
            live = {_number(file["name"]) for file in database.live_files()}
            if lost := [n for n in whole - live if n > max(whole & live, default=0)]:
                database.close()
                raise RuntimeError(f"{_DAMAGED[0]}its manifest has lost the files {lost}")
        except Exception as error:
            if not _is_damage(error):
                raise _mendable(error) from None
            aside = _set_aside(path)
            log.error(
                "state of partition %d is damaged (%s); it was set aside as %s and is rebuilt "
                "from the changelog",
                partition,
                _one_line(error),
                aside,
            )
            database = super()._open_for_partition(partition)
        self._open[partition] = opened = _Database(database, partition, path)
        return opened


class _Database:
    """A partition's database, which is set aside if it turns out to be damaged while in use.

    RocksDB looks at a block's checksum only when it reads the block. What was judged since the
    last checkpoint can't be trusted then, so the worker ends and finds no database when it comes
    back.
    """

    def __init__(self, database: Any, partition: int, path: Path) -> None:
        self._database = database
        self._partition = partition
        self._path = path
        #: Whether something stands in memory only.
        self._is_unlogged = False

    def get(self, key: bytes) -> bytes | None:
        # Asked four times for each account that is not live.
        try:
            value: bytes | None = self._database.get(key)
        except Exception as error:
            self._give_up(error)
        return value

    def write(self, batch: Any) -> None:
        # Were what has no journal lost, what has one would stand behind a hole.
        self.settle()
        with self._watched():
            self._database.write(batch)

    def write_unlogged(self, batch: Any) -> None:
        self._is_unlogged = True
        with self._watched():
            self._database.write(batch, _UNLOGGED)

    def settle(self) -> None:
        if self._is_unlogged:
            with self._watched():
                self._database.flush(wait=True)
            self._is_unlogged = False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        if not _is_damage(error):
            raise _mendable(error) from None
        aside = _set_aside(self._path)
        raise DamagedStateError(
            f"state.directory: the state of partition {self._partition} is damaged "
            f"({_one_line(error)}); it was set aside as {aside}: start again, it is rebuilt "
            "from the changelog"
        ) from None


def _mendable(error: Exception) -> Exception:
    """Return an error of the disk (full, read-only, gone) in the operator's words."""
    text = _one_line(error)
    # Faust looks for that one itself.
    if not any(words in text for words in _DISK) or "lock" in text:
        return error
    return OperatorError(
        f"state.directory: {text}; make it writable, or start with an empty directory: the state "
        "is rebuilt from the changelog"
    )


def _whole_files(path: Path) -> set[int]:
    """Return the numbers of the files of rows that are written to their end.

    RocksDB takes a manifest that is cut for one that was being written, does without the files
    that the rest told of, and goes on with a hole in the state. Files that no manifest has told of
    yet when a worker was killed are mostly not whole.
    """
    found = set()
    for file in path.glob("[0-9]*.sst"):
        # Of files that can't be read RocksDB says itself what is wrong.
        with suppress(OSError), file.open("rb") as rows:
            rows.seek(max(file.stat().st_size - len(_FILE_END), 0))
            if rows.read() == _FILE_END:
                found.add(_number(file.name))
    return found


def _number(name: str) -> int:
    return int(Path(name).stem)


def _is_damage(error: Exception) -> bool:
    return str(error).startswith(_DAMAGED)


def _set_aside(path: Path) -> Path:
    """Move a database away, for somebody to look at; only the last one of a partition is kept."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    if path.exists():
        path.rename(aside)
    return aside


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
