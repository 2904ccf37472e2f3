"""Random numbers that depend on who draws, for what and the how-manieth, and on nothing else.

A counter-based generator: a number is a hash of the seed, a purpose and some keys. So a whole
population draws in one numpy call, and yet each account has its own sequence, which no other
account, attack or order of evaluation can shift.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xxhash

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)


def mix(keys: Keys) -> Keys:
    """Scramble 64-bit keys one to one (the finaliser of SplitMix64; Steele et al., OOPSLA 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * _MULTIPLY_1
    keys = (keys ^ (keys >> np.uint64(27))) * _MULTIPLY_2
    return keys ^ (keys >> np.uint64(31))


class Draws:
    """Numbers for one seed. Keys are whole numbers or arrays of them, which broadcast."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._purposes: dict[str, Keys] = {}

    def bits(self, purpose: str, *keys: int | Ints | Keys) -> Keys:
        """Return 64 random bits for each combination of keys."""
        found = self._purposes.get(purpose)
        if found is None:
            number = xxhash.xxh3_64_intdigest(purpose.encode(), seed=self.seed)
            found = self._purposes[purpose] = mix(np.array([number], dtype=np.uint64))
        for key in keys:
            found = mix(found + np.atleast_1d(np.asarray(key)).astype(np.uint64) * _GOLDEN)
        return found

    def uniform(self, purpose: str, *keys: int | Ints | Keys) -> Floats:
        """Draw from the open interval (0, 1)."""
        bits = self.bits(purpose, *keys) >> np.uint64(11)
        return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-53, dtype=np.float64)

    def between(
        self, low: float | Floats, high: float | Floats, purpose: str, *keys: int | Ints | Keys
    ) -> Floats:
        """Draw uniformly between two bounds."""
        return low + (high - low) * self.uniform(purpose, *keys)

    def lognormal(
        self, median: float | Floats, sigma: float, purpose: str, *keys: int | Ints | Keys
    ) -> Floats:
        """Draw log-normally: `sigma` is the standard deviation of the logarithm (Box–Muller)."""
        radius = np.sqrt(-2.0 * np.log(self.uniform(purpose, *keys)))
        angle = 2.0 * np.pi * self.uniform(f"{purpose}/angle", *keys)
        return np.asarray(median * np.exp(sigma * radius * np.cos(angle)), dtype=np.float64)

    def pick(self, cumulative: Floats, purpose: str, *keys: int | Ints | Keys) -> Ints:
        """Draw positions in a table whose weights add up to `cumulative`."""
        points = self.uniform(purpose, *keys) * cumulative[-1]
        return np.asarray(np.searchsorted(cumulative, points, side="right"), dtype=np.int64)

    def generator(self, purpose: str, *keys: int) -> np.random.Generator:
        """Return a generator of its own for one purpose and its keys."""
        return np.random.default_rng(int(self.bits(purpose, *keys)[0]))
