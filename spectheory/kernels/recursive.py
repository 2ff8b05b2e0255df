"""Recursive rejection of one request after the other; a row is read again for each rejected draft.

For the numbers C, T and Z see `spectheory.batched.recursive`.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.tile_draws import draw_left, row_sum


@compiled(nogil=True, error_model="numpy")
def recursive(
    replacement: bool,
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """See `LadderRule.kernel`; ``replacement`` tells how drafts were drawn.

    >>> laws = np.array([[0.25, 0.25, 0.5]]), np.array([[0.5, 0.25, 0.25]])
    >>> tokens, slots = np.empty(1, np.int64), np.empty(1, np.int64)
    >>> recursive(True, *laws, np.array([[0, 2]]), np.array([[0.6, 0.9, 0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([2], [1])
    """
    k, size = drafts.shape[1], target.shape[1]
    left = np.empty((1, size))
    for b in range(drafts.shape[0]):
        p, q, row = target[b], draft[b], left[0]
        scale, mass, rest = 0.0, row_sum(p), 1.0
        slots[b] = k
        for i in range(k):
            x = drafts[b, i]
            own, proposed = max(p[x] - scale * q[x], 0.0) / mass, q[x] / rest
            if own >= proposed or uniforms[b, i] < own / proposed:
                tokens[b], slots[b] = x, i
                break
            further = scale + mass / rest
            for y in range(size):
                row[y] = max(p[y] - further * q[y], 0.0)
            remains = row_sum(row)
            # An empty residual is reached with probability 0: the law stays what it was.
            if remains > 0:
                scale, mass = further, remains
            if not replacement and i + 1 < k:
                row[:] = q  # of the tokens not rejected yet
                for j in range(i + 1):
                    row[drafts[b, j]] = 0.0
                others = row_sum(row)
                rest = others if others > 0 else rest
        if slots[b] < k:
            continue
        for y in range(size):
            row[y] = max(p[y] - scale * q[y], 0.0)
        draw_left(left, target[b : b + 1], uniforms[b, k:], tile, tokens[b : b + 1])
