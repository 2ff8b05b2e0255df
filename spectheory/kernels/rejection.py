"""Rejection of one draft of each request, and the draw from what is left."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.tile_draws import draw_left


@compiled(nogil=True)
def rejection(
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """See `LadderRule.kernel`.

    >>> laws = np.array([[0.25, 0.75]] * 2), np.array([[0.5, 0.5]] * 2)
    >>> tokens, slots = np.empty(2, np.int64), np.empty(2, np.int64)
    >>> rejection(*laws, np.array([[0], [0]]), np.array([[0.4, 0], [0.6, 0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([0, 1], [0, 1])
    """
    left = np.empty((1, target.shape[1]))
    for b in range(target.shape[0]):
        tokens[b], slots[b] = drafts[b, 0], 0
        p, q = target[b, tokens[b]], draft[b, tokens[b]]
        if uniforms[b, 0] < (p / q if p < q else 1.0):
            continue
        slots[b] = 1
        for x in range(target.shape[1]):
            left[0, x] = max(target[b, x] - draft[b, x], 0.0)
        draw_left(left, target[b : b + 1], uniforms[b, 1:], tile, tokens[b : b + 1])
