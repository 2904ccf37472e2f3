"""Inputs that are nearly right: samples with pieces lost, repeated, swapped and made absurd."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: Longer ones teach nothing new and cost time; what is too large has tests of its own.
BYTES_MAX = 8_192
_MUTATIONS_MAX = 6
#: What decoders are known to stumble over.
_TOKENS = (
    *(b"null", b"true", b"{}", b"[]", b'""', b"0", b"-1", b"-0.0", b"1e999", b"-1e-999", b"NaN"),
    *(b"9223372036854775808", b"-9223372036854775809", b"1" * 400, b"0.1" + b"0" * 400),
    *(b"[" * 2_000, b'{"a":' * 1_100, b"\\", b'"', b"\\u0000", b"\\ud800", b"\\udc00\\ud800"),
    *(
        b"\x00",
        b"\n",
        b"\r\n",
        b"\x1b[2J",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ),
    *(b"\xef\xbb\xbf", b"\xff\xfe", "\u202e\u2028".encode(), b"%s%n", b"%00", b"../", b"${x}"),
    *(b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:60Z", b"2024-02-30T25:61:61+99:99", b"inf"),
    *(
        b"\x93",
        b"\xc4\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 2_000,
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    ),
)


def mutations(samples: Sequence[bytes], count: int, seed: object) -> Iterator[bytes]:
    """Yield so many inputs; the same seed gives the same ones."""
    chance = random.Random(str(seed))
    for _ in range(count):
        data = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, _MUTATIONS_MAX)):
            _mutate(data, samples, chance)
        yield bytes(data[:BYTES_MAX])


def _mutate(data: bytearray, samples: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    end = min(start + int(chance.paretovariate(0.7)), len(data))
    match chance.randrange(7):
        case 0:
            del data[start:end]
        case 1:
            data[start:end] = chance.choice(_TOKENS)
        case 2:
            data[start:start] = chance.randbytes(chance.randint(1, 8))
        case 3:
            data[start:start] = data[start:end] * chance.choice((2, 3, 50))
        case 4:
            if data:
                data[start % len(data)] ^= 1 << chance.randrange(8)
        case 5:
            del data[start:]
        case _:
            other = chance.choice(samples)
            at = chance.randint(0, len(other))
            data[start:end] = other[at : at + chance.randint(1, 200)]
