"""Elementary symmetric sums of many numbers, in logarithms: the sums of tuples' masses.

``e_j`` is the sum over all sets of j tokens of the product of their masses. Of a peaked draft these
span far more than a float does, so what is carried from token to token are the ratios
``r_j = e_j / e_{j-1}``, each between the smallest mass and the sum of all:

    r_j <- (r_j + q) r_{j-1} / (r_{j-1} + q),       r_1 <- r_1 + q.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled

SCALE = 2.0**500
"""Masses are multiplied by it, so that a ratio that is subnormal by itself keeps its digits."""


def log_symmetric_sums(masses: np.ndarray, degree: int) -> np.ndarray:
    """Logarithms of ``e_1 .. e_degree`` of every prefix.

    Args:
        masses: ``(..., V)`` float64, not negative.
        degree: largest number of tokens multiplied.

    Returns:
        ``(degree, ..., V)``: entry [j - 1, ..., i] is of the first i + 1 tokens; -inf if fewer than
        j of them have mass.

    >>> np.exp(log_symmetric_sums(np.array([0.5, 0.0, 0.25]), 2)).round(6).tolist()
    [[0.5, 0.5, 0.75], [0.0, 0.0, 0.125]]
    """
    rows = np.ascontiguousarray(masses, dtype=np.float64).reshape(-1, masses.shape[-1])
    ratios = np.moveaxis(_ratios(rows, degree), 1, 0)
    with np.errstate(divide="ignore"):
        logs = np.log(ratios) - np.log(SCALE)
    return np.cumsum(logs, axis=0).reshape(degree, *masses.shape)


@compiled(nogil=True)
def _ratios(rows: np.ndarray, degree: int) -> np.ndarray:
    """``(n, degree, V)`` ratios r_j of every prefix, times `SCALE`; 0 where e_j is."""
    found = np.empty((rows.shape[0], degree, rows.shape[1]))
    for row in range(rows.shape[0]):
        ratios = np.zeros(degree)
        for i in range(rows.shape[1]):
            q = rows[row, i] * SCALE
            if q > 0.0:
                for j in range(degree - 1, 0, -1):
                    ratios[j] = (ratios[j] + q) * (ratios[j - 1] / (ratios[j - 1] + q))
                ratios[0] += q
            found[row, :, i] = ratios
    return found
