"""Pairs of logits that batched rules are tried on: smooth, sparse, tied, equal, disjoint."""

import numpy as np
import pytest

V = 700  # more than one tile, and not a multiple of it
ROWS = 48


def pair(kind, generator, rows=ROWS, size=V):
    """``(rows, size)`` float32 logits of target and draft."""
    target = generator.normal(size=(rows, size)).astype(np.float32) * 2
    draft = target + generator.normal(size=(rows, size)).astype(np.float32)
    if kind == "sparse":
        target[generator.random(target.shape) < 0.97] = -np.inf
        draft[generator.random(draft.shape) < 0.97] = -np.inf
        target[:, 5], draft[:, 5], draft[:, 6], draft[:, 7:11] = 0, 0, 1, -1
    if kind == "tied":
        target, draft = np.round(target), np.round(draft)
    if kind == "equal":
        draft = target.copy()
    if kind == "disjoint":
        target[:, ::2], draft[:, 1::2] = -np.inf, -np.inf
    return target, draft


KINDS = ["smooth", "sparse", "tied", "equal", "disjoint"]


@pytest.fixture(params=KINDS)
def logits(request):
    """``(ROWS, V)`` float32 target and draft logits."""
    return pair(request.param, np.random.default_rng(KINDS.index(request.param)))
