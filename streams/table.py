"""The one Faust table: raw rows on RocksDB, each partition written in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import rocksdict
from faust import Table

from streams.outbox import Row

#: RocksDB's appetite for each partition. Faust's defaults took four times as much memory for
#: eight partitions; profiles are small and the hot ones live in Python anyway.
ROCKSDB_OPTIONS = {
    "driver": "rocksdict",
    "block_cache_size": 8 * 2**20,
    "write_buffer_size": 8 * 2**20,
    "max_write_buffer_number": 2,
    "bloom_filter_size": 10,
    "max_open_files": 256,
}


class StateTable(Table):  # type: ignore[misc]
    """A table that is read and written by partition, outside of any event.

    Faust's own mapping interface sends one changelog message and makes two RocksDB writes for
    each key; here a checkpoint is one atomic write batch, which carries the changelog offset
    that it corresponds to.
    """

    def reader(self, partition: int) -> Callable[[bytes], bytes | None]:
        """Return what reads a row of a partition."""
        get: Callable[[bytes], bytes | None] = self._database(partition).get
        return get

    def write(self, partition: int, rows: Sequence[Row], changelog_offset: int) -> None:
        """Write rows that the changelog has acknowledged up to an offset."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for row in rows:
            if row.value is None:
                batch.delete(row.key)
            else:
                batch.put(row.key, row.value)
        batch.put(self.data.offset_key, str(changelog_offset).encode())
        self._database(partition).write(batch)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take up recovered rows; failing at it (a full disk) ends the worker.

        Faust would log a line and go on with holes in the state.
        """
        try:
            super().apply_changelog_batch(batch)
        except Exception as error:
            self.app.fail(error)
            raise

    def _database(self, partition: int) -> Any:
        return self.data._db_for_partition(partition)
