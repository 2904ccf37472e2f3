"""Columns keep each request with its pairs, and sums of their own."""

from __future__ import annotations

import numpy as np

from streams.simulate.rows import ragged_arange, running_sum


def test_each_run_counts_from_nought() -> None:
    assert ragged_arange(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert ragged_arange(np.array([], dtype=np.int64)).tolist() == []


def test_a_running_sum_does_not_depend_on_the_runs_before_it() -> None:
    gaps = np.random.default_rng(1).lognormal(2.0, 1.5, 100_000)
    counts = np.full(1_000, 100)
    together = running_sum(gaps, counts)
    alone = running_sum(gaps[-100:], np.array([100]))
    assert together[-100:].tolist() == alone.tolist()
    assert np.allclose(alone, np.cumsum(gaps[-100:]), atol=1e-3)


def test_empty_runs_take_no_part_in_a_running_sum() -> None:
    sums = running_sum(np.array([1.0, 2.5, 4.0]), np.array([0, 2, 0, 1]))
    assert sums.tolist() == [1.0, 3.5, 4.0]
