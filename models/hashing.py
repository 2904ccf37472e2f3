"""Hashes that are the same in every process, unlike Python's `hash`."""

from __future__ import annotations

import xxhash


def hash64(text: str) -> int:
    """Return the 64-bit XXH3 hash of a string's UTF-8 form.

    >>> hex(hash64("pair_1"))
    '0xbe5a6e4cd423f5b7'
    """
    return xxhash.xxh3_64_intdigest(text.encode())


def hash32(text: str) -> int:
    """Return 32 bits of XXH3, for sets so small that chance collisions don't matter."""
    return xxhash.xxh32_intdigest(text.encode())
