"""Rejection of one draft a request, and the draw from what is left, in one pass over a row."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.tile_draws import tile_draws


@compiled(nogil=True)
def reject(
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """Fill ``tokens`` and ``slots`` ``(B,)``: the draft and 0, or a token of the residual and 1.

    Args:
        target, draft: ``(B, V)`` float64.
        drafts: ``(B, 1)``.
        uniforms: ``(B, 2)``: of the decision and of the draw.
        tile: see `tile_draws`.

    >>> laws = np.array([[0.25, 0.75]] * 2), np.array([[0.5, 0.5]] * 2)
    >>> tokens, slots = np.empty(2, np.int64), np.empty(2, np.int64)
    >>> reject(*laws, np.array([[0], [0]]), np.array([[0.4, 0], [0.6, 0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([0, 1], [0, 1])
    """
    left = np.empty((1, target.shape[1]))
    for b in range(target.shape[0]):
        tokens[b], slots[b] = drafts[b, 0], 0
        p, q = target[b, tokens[b]], draft[b, tokens[b]]
        if uniforms[b, 0] < (p / q if p < q else 1.0):
            continue
        slots[b], most = 1, 0.0
        for x in range(target.shape[1]):
            left[0, x] = max(target[b, x] - draft[b, x], 0.0)
            most = max(most, left[0, x])
        # The target where nothing is left: the convention for empty residuals.
        row = left if most > 0.0 else target[b : b + 1]
        tile_draws(row, uniforms[b, 1:], tile, tokens[b : b + 1])
