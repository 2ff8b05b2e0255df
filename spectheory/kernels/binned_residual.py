"""What the grouped score plan leaves of the target, of several requests in one pass over each."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True)
def binned_residual(
    target: np.ndarray,
    draft: np.ndarray,
    bin_of: np.ndarray,
    share: np.ndarray,
    rows: np.ndarray,
    left: np.ndarray,
) -> None:
    """Fill ``left`` ``(n, V)``: ``p - min(max(a q + b p, 0), p)`` of each row that is asked for.

    A row of which nothing is left is the target's.

    Args:
        target, draft: ``(B, V)`` float64.
        bin_of: ``(B, V)``.
        share: ``(B, 2, bins)``: a and b of the tokens of each bin.
        rows: ``(n,)`` of the B.

    >>> left = np.empty((1, 2))
    >>> p, q, bin_of = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]]), np.array([[0, 1]])
    >>> share = np.array([[[0.5, 0.0], [0.0, 2.0]]])
    >>> binned_residual(p, q, bin_of, share, np.array([0]), left)
    >>> left.tolist()
    [[0.5, 0.0]]
    """
    for n in range(rows.shape[0]):
        b = rows[n]
        of_draft, of_target = share[b, 0], share[b, 1]
        most = 0.0
        for x in range(target.shape[1]):
            bin_, mass = bin_of[b, x], target[b, x]
            accepted = of_draft[bin_] * draft[b, x] + of_target[bin_] * mass
            left[n, x] = mass - min(max(accepted, 0.0), mass)
            most = max(most, left[n, x])
        if most <= 0.0:
            left[n] = target[b]
