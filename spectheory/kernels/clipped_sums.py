"""The two sums that a step towards the slow-down of K-SEQ needs, in one pass."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def clipped_sums(target: np.ndarray, draft: np.ndarray, rho: np.ndarray, sums: np.ndarray) -> None:
    """Fill ``sums`` ``(B, 2)``: ``sum min(p, rho q)`` and ``sum q 1[rho q < p]`` of each row.

    Args:
        target, draft: ``(B, V)`` float64.
        rho: ``(B, 1)``.

    >>> sums = np.empty((1, 2))
    >>> clipped_sums(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]]), np.ones((1, 1)), sums)
    >>> sums.tolist()
    [[0.75, 0.25]]
    """
    for b in range(target.shape[0]):
        met, proposed, scale = 0.0, 0.0, rho[b, 0]
        for x in range(target.shape[1]):
            scaled = scale * draft[b, x]
            met += min(scaled, target[b, x])
            proposed += draft[b, x] if scaled < target[b, x] else 0.0
        sums[b, 0], sums[b, 1] = met, proposed
