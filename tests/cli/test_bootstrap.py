"""Bootstrap intervals against resampling by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spectheory.cli.bootstrap import mean_intervals


def test_close_to_resampling_rows_by_index():
    rng = np.random.default_rng(0)
    columns = rng.random((60, 3)) ** 2
    mean, low, high = mean_intervals(columns, 20_000, seed=1)
    assert mean == pytest.approx(columns.mean(axis=0))
    rows = rng.integers(0, 60, size=(20_000, 60))
    ends = np.quantile(columns[rows].mean(axis=1), [0.025, 0.975], axis=0)
    assert np.abs(np.stack([low, high]) - ends).max() < 0.003


def test_columns_are_resampled_alike():
    columns = np.random.default_rng(0).random((30, 1))
    _, low, high = mean_intervals(np.hstack([columns, 1 - columns, columns - columns]), 200, seed=0)
    assert low[1] == pytest.approx(1 - high[0])
    assert low[2] == high[2] == 0


def test_one_position_has_an_interval_of_no_width():
    mean, low, high = mean_intervals(np.array([[0.25]]), 100, seed=0)
    assert mean == low == high == 0.25
