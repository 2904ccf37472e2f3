"""Which partition is whose."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


# aiokafka's murmur2 is pure Python and costs as much as judging an event; the accounts that are
# active at one time fit in here.
@lru_cache(maxsize=2**18)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, as Kafka's own producers choose it.

    The replay splits a log with the same function, so that it judges accounts among the same
    peers as the workers do.
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
