"""The triangle of a QR factorisation of a few long vectors, on one thread.

LAPACK would do, but its threads wait for each other: on a machine with other work it took up to
forty times as long.
"""

from __future__ import annotations

import math

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def triangle(points: np.ndarray) -> np.ndarray:
    """R of the ``(n, d)`` rows, by modified Gram-Schmidt: ``R.T @ R`` are their inner products.

    Args:
        points: ``(n, d)`` contiguous float64; overwritten.

    Returns:
        ``(n, n)`` upper triangular; a row that depends on earlier ones leaves a row of zeros.

    >>> triangle(np.array([[3.0, 4.0], [5.0, 0.0]])).tolist()
    [[5.0, 3.0], [0.0, 4.0]]
    """
    count, width = points.shape
    factor = np.zeros((count, count))
    for i in range(count):
        square = 0.0
        for x in range(width):
            square += points[i, x] * points[i, x]
        norm = math.sqrt(square)
        factor[i, i] = norm
        if norm == 0.0:
            continue
        for x in range(width):
            points[i, x] /= norm
        for j in range(i + 1, count):
            along = 0.0
            for x in range(width):
                along += points[i, x] * points[j, x]
            factor[i, j] = along
            for x in range(width):
                points[j, x] -= along * points[i, x]
    return factor
