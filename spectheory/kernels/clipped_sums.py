"""The two sums that a step towards the slow-down of K-SEQ needs.

Of most tokens a whole bracket of rho decides which of p and rho q is the smaller: one pass sums
them once and for all, and the steps read the others only.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True)
def undecided(
    target: np.ndarray,
    draft: np.ndarray,
    most: float,
    settled: np.ndarray,
    listed: np.ndarray,
    length: np.ndarray,
) -> None:
    """List the tokens where ``p / q`` lies in (1, most), and sum the others.

    Args:
        target, draft: ``(B, V)`` float64.
        most: the largest rho that is asked for; the smallest is 1.
        settled: ``(B, 2)``, filled: target mass of the tokens at or below the bracket, draft mass
            of those at or above it.
        listed: ``(B, 2, V)``, filled from the left: target and draft mass of the others.
        length: ``(B,)`` int64, filled: how many those are.

    >>> settled, listed, length = np.empty((1, 2)), np.empty((1, 2, 3)), np.empty(1, np.int64)
    >>> p, q = np.array([[0.125, 0.375, 0.5]]), np.array([[0.625, 0.25, 0.125]])
    >>> undecided(p, q, 2.0, settled, listed, length)
    >>> settled.tolist(), listed[0, :, : length[0]].tolist()
    ([[0.125, 0.125]], [[0.375], [0.25]])
    """
    for b in range(target.shape[0]):
        below, above, n = 0.0, 0.0, 0
        for x in range(target.shape[1]):
            p, q = target[b, x], draft[b, x]
            low, high = p <= q, p >= most * q
            below += p if low else 0.0
            above += q if high and not low else 0.0
            listed[b, 0, n], listed[b, 1, n] = p, q  # without a branch: the next overwrites it
            n += 0 if low or high else 1
        settled[b, 0], settled[b, 1], length[b] = below, above, n


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def clipped_sums(
    settled: np.ndarray,
    listed: np.ndarray,
    length: np.ndarray,
    rho: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Fill ``sums`` ``(B, 2)``: ``sum min(p, rho q)`` and ``sum q 1[rho q < p]`` of each row.

    Args:
        settled, listed, length: as `undecided` leaves them.
        rho: ``(B, 1)``, each between 1 and its ``most``.

    >>> sums, listed = np.empty((1, 2)), np.array([[[0.375], [0.25]]])
    >>> clipped_sums(np.array([[0.125, 0.125]]), listed, np.array([1]), np.array([[1.25]]), sums)
    >>> sums.tolist()
    [[0.59375, 0.375]]
    """
    for b in range(settled.shape[0]):
        scale = rho[b, 0]
        met, proposed = settled[b, 0] + scale * settled[b, 1], settled[b, 1]
        for x in range(length[b]):
            p, q = listed[b, 0, x], listed[b, 1, x]
            scaled = scale * q
            met += min(scaled, p)
            proposed += q if scaled < p else 0.0
        sums[b, 0], sums[b, 1] = met, proposed
