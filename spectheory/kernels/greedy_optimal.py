"""The optimal rule for greedy drafts, of one request after the other."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.tile_draws import draw_left, row_sum


@compiled(nogil=True, error_model="numpy")
def greedy_optimal(
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """See `LadderRule.kernel`.

    >>> laws = np.array([[0.2, 0.6, 0.2]]), np.array([[0.6, 0.2, 0.2]])
    >>> tokens, slots = np.empty(1, np.int64), np.empty(1, np.int64)
    >>> greedy_optimal(*laws, np.array([[0, 2]]), np.array([[0.5, 0.8, 0.0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([1], [2])
    """
    k, size = drafts.shape[1], target.shape[1]
    left = np.empty((1, size))
    for b in range(drafts.shape[0]):
        p, row = target[b], left[0]
        row[:] = draft[b]  # what the last draft was drawn from
        for i in range(k - 1):
            row[drafts[b, i]] = 0.0
        scale, last = row_sum(row), drafts[b, k - 1]
        off = row[last] / scale
        accept = p[last] / off if p[last] < off else 1.0
        for x in range(size):  # and what it leaves; on the fixed tokens, all of the target
            row[x] = max(p[x] - row[x] / scale, 0.0)
        mass, before = row_sum(row), 0.0
        slots[b] = k
        for i in range(k):
            own = accept
            if i < k - 1:
                own = (1 - accept) * p[drafts[b, i]] / mass if mass > 0 else 0.0
            if own >= 1 - before or uniforms[b, i] < own / (1 - before):
                tokens[b], slots[b] = drafts[b, i], i
                break
            before += own
        if slots[b] < k:
            continue
        for i in range(k - 1):
            row[drafts[b, i]] = 0.0
        draw_left(left, target[b : b + 1], uniforms[b, k:], tile, tokens[b : b + 1])
