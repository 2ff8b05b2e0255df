"""Two laws and the drafts on the tokens that the target keeps, all others pooled into one."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True)
def shorten(
    target: np.ndarray,
    draft: np.ndarray,
    kept: np.ndarray,
    start: np.ndarray,
    drafts: np.ndarray,
    tokens: np.ndarray,
    few_target: np.ndarray,
    few_draft: np.ndarray,
    few_drafts: np.ndarray,
) -> None:
    """Fill the last four: a row's kept tokens, its other drafts, and one place for all others.

    Args:
        target, draft: ``(B, V)`` float64.
        kept: tokens of all rows, one row after another; row b's begin at ``start[b]``.
        start: ``(B + 1,)``.
        drafts: ``(B, k)`` int64.
        tokens: ``(B, m)`` int64 zeros, m being at least k + 1 more than the longest row.
        few_target, few_draft: ``(B, m)`` float64 zeros.
        few_drafts: ``(B, k)`` int64: the drafts as places in ``tokens``.

    >>> tokens, p, q = np.zeros((1, 4), np.int64), np.zeros((1, 4)), np.zeros((1, 4))
    >>> laws = np.array([[0.0, 0.5, 0.5]]), np.array([[0.25, 0.25, 0.5]])
    >>> drafts, places = np.array([[0]]), np.empty((1, 1), np.int64)
    >>> shorten(*laws, np.array([1, 2]), np.array([0, 2]), drafts, tokens, p, q, places)
    >>> tokens.tolist(), q.tolist(), places.tolist()
    ([[1, 2, 0, 0]], [[0.25, 0.5, 0.25, 0.0]], [[2]])
    """
    for b in range(drafts.shape[0]):
        count = start[b + 1] - start[b]
        tokens[b, :count] = kept[start[b] : start[b + 1]]
        for i in range(drafts.shape[1]):
            place = 0
            while place < count and tokens[b, place] != drafts[b, i]:
                place += 1
            tokens[b, place] = drafts[b, i]
            few_drafts[b, i], count = place, max(count, place + 1)
        rest = 1.0
        for n in range(count):
            few_target[b, n] = target[b, tokens[b, n]]
            few_draft[b, n] = draft[b, tokens[b, n]]
            rest -= few_draft[b, n]
        few_draft[b, count] = max(rest, 0.0)
