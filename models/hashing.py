"""Hashes that are the same in every process, unlike Python's `hash`."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest, xxh32_intdigest


def hash64(text: str) -> int:
    """Return the 64-bit XXH3 hash of a string's UTF-8 form.

    >>> hex(hash64("pair_1"))
    '0xbe5a6e4cd423f5b7'
    """
    return xxh3_64_intdigest(text.encode())


def hash32(text: str) -> int:
    """Return 32 bits of XXH3, for sets so small that chance collisions don't matter."""
    return xxh32_intdigest(text.encode())
