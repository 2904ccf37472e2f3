"""Hashes that are the same in every process, unlike Python's `hash`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from xxhash import xxh3_64_intdigest, xxh32_intdigest

#: Constants, which the compiler need not look up.
_xxh64: Final = xxh3_64_intdigest
_xxh32: Final = xxh32_intdigest

#: An integer of 64 bits. To the compiler it is just an object: integers it keeps in registers,
#: where most hashes find no room, and to find that out again at every step takes it longer.
Hash64: TypeAlias = Any


def hash64(text: str) -> Hash64:
    """Return the 64-bit XXH3 hash of a string's UTF-8 form.

    >>> hex(hash64("pair_1"))
    '0xbe5a6e4cd423f5b7'
    """
    return _xxh64(text.encode())


def hash32(text: str) -> int:
    """Return 32 bits of XXH3, for sets so small that chance collisions don't matter."""
    return _xxh32(text.encode())


def pack_hashes(texts: Iterable[str]) -> bytes:
    """Return the `hash32` of strings, four bytes each."""
    return array("I", map(hash32, texts)).tobytes()
