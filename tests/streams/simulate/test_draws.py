"""A number depends on seed, purpose and keys, and on nothing else."""

from __future__ import annotations

import numpy as np

from streams.simulate.draws import Draws

KEYS = np.arange(20_000)


def test_a_number_is_the_same_alone_and_in_company() -> None:
    draws = Draws(1)
    together = draws.uniform("gap", 3, KEYS)
    alone = [float(Draws(1).uniform("gap", 3, int(key))[0]) for key in (0, 7, 19_999)]
    assert alone == together[[0, 7, 19_999]].tolist()


def test_seed_purpose_and_each_key_matter() -> None:
    one = Draws(1).uniform("gap", 3, KEYS)
    others = (
        Draws(2).uniform("gap", 3, KEYS),
        Draws(1).uniform("hour", 3, KEYS),
        Draws(1).uniform("gap", 4, KEYS),
    )
    assert all(abs(np.corrcoef(one, other)[0, 1]) < 0.03 for other in others)


def test_numbers_are_uniform_within_zero_and_one() -> None:
    numbers = Draws(1).uniform("gap", KEYS)
    assert 0.0 < numbers.min() < numbers.max() < 1.0
    assert np.histogram(numbers, bins=10, range=(0, 1))[0].min() > 0.09 * len(KEYS)


def test_a_lognormal_has_its_median_and_its_sigma() -> None:
    logs = np.log(Draws(1).lognormal(8.0, 0.7, "gap", KEYS))
    assert np.isclose(np.median(logs), np.log(8.0), atol=0.03)
    assert np.isclose(logs.std(), 0.7, atol=0.02)


def test_choices_follow_their_weights() -> None:
    chosen = Draws(1).pick(np.cumsum([1.0, 0.0, 3.0]), "action", KEYS)
    shares = np.bincount(chosen, minlength=3) / len(KEYS)
    assert np.allclose(shares, [0.25, 0.0, 0.75], atol=0.02)
