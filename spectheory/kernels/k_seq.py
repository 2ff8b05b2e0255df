"""K-SEQ of one request after the other: slow-down, decisions, and the draw from what is left."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.tile_draws import draw_left

STEPS = 100
"""Most steps to the root; a handful is usual."""

ROUNDING = 8 * 2.0**-52
"""Relative size of a step that counts as none."""

MARGIN = 2.0**-47
"""How far above the root, relatively, rho is put: rho must not be below rho*."""


@compiled(nogil=True, error_model="numpy")
def slow_down(target: np.ndarray, draft: np.ndarray, k: int) -> float:
    """rho*, the root of ``1 - (1 - beta)^k - rho beta`` in [1, k]; see `batched.k_seq.slowdown`.

    Args:
        target, draft: ``(V,)`` float64.
        k: number of drafts.

    >>> round(slow_down(np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1]), 2), 9)
    1.4
    """
    low, high, rho = 1.0, float(k), 1.0
    for step in range(STEPS):
        met, below = _sums(target, draft, rho)
        beta = met / rho
        excess = 1 - (1 - beta) ** k - met
        if step == 0 and excess <= ROUNDING:
            return 1.0
        low, high = (rho, high) if excess > 0 else (low, rho)
        # d met / d rho = below, so d beta / d rho = (below - beta) / rho
        slope = k * (1 - beta) ** (k - 1) * (below - beta) / rho - below
        change = excess / slope if slope < 0 else np.inf
        settled_down = abs(change) <= ROUNDING * rho
        if settled_down or high - low <= ROUNDING * low:
            best = rho if settled_down else high
            return min(max(best * (1 + MARGIN), 1.0), float(k))
        following = rho - change
        rho = following if low < following < high else (low + high) / 2
    return min(high * (1 + MARGIN), float(k))


@compiled(nogil=True, error_model="numpy")
def k_seq(
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """See `LadderRule.kernel`.

    >>> laws = np.array([[0.3, 0.4, 0.3]]), np.array([[0.6, 0.3, 0.1]])
    >>> tokens, slots = np.empty(1, np.int64), np.empty(1, np.int64)
    >>> k_seq(*laws, np.array([[0, 1]]), np.array([[0.4, 0.9, 0.0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([1], [1])
    """
    k = drafts.shape[1]
    left = np.empty((1, target.shape[1]))
    for b in range(drafts.shape[0]):
        p, q = target[b], draft[b]
        rho = slow_down(p, q, k)
        slots[b] = k
        for i in range(k):
            x = drafts[b, i]
            if p[x] / rho >= q[x] or uniforms[b, i] < p[x] / rho / q[x]:
                tokens[b], slots[b] = x, i
                break
        if slots[b] < k:
            continue
        beta = _clipped(p, q, rho, left[0])
        gain = (1 - (1 - beta) ** k) / beta if beta > 0 else 0.0
        for x in range(p.shape[0]):
            left[0, x] = max(p[x] - gain * left[0, x], 0.0)
        draw_left(left, target[b : b + 1], uniforms[b, k:], tile, tokens[b : b + 1])


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def _sums(target: np.ndarray, draft: np.ndarray, rho: float) -> tuple[float, float]:
    """``sum min(p, rho q)`` and ``sum q 1[rho q < p]``."""
    met, below = 0.0, 0.0
    for x in range(target.shape[0]):
        scaled = rho * draft[x]
        met += min(scaled, target[x])
        below += draft[x] if scaled < target[x] else 0.0
    return met, below


@compiled(nogil=True, fastmath={"reassoc"}, error_model="numpy")
def _clipped(target: np.ndarray, draft: np.ndarray, rho: float, out: np.ndarray) -> float:
    """Fill ``out`` by ``min(p / rho, q)``; returns its sum."""
    beta = 0.0
    for x in range(target.shape[0]):
        out[x] = min(target[x] / rho, draft[x])
        beta += out[x]
    return beta
