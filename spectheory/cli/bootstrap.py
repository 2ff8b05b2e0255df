"""Percentile bootstrap intervals of means over positions, for many columns at once."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95


def mean_intervals(
    columns: np.ndarray, resamples: int, seed: int, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each column, with the ends of its interval.

    All columns are resampled alike, so the interval of a difference of two columns is that of the
    column of differences.

    Args:
        columns: ``(n, m)``, one row a position.
        resamples: bootstrap samples.
        seed: of the resampling.
        level: of the intervals.

    Returns:
        Mean, lower and upper end, each ``(m,)``.

    >>> mean, low, high = mean_intervals(np.array([[0.0], [1.0]] * 50), 500, seed=0)
    >>> bool(low[0] < mean[0] == 0.5 < high[0])
    True
    """
    n = len(columns)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    means = counts @ columns / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return columns.mean(axis=0), low, high
