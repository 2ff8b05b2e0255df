"""K-SEQ of one request after the other: slow-down, decisions, and the draw from what is left.

Of most tokens the whole bracket [1, k] of rho decides which of p and rho q is the smaller: one
pass sums them once and for all, and the steps towards the root read the others only.
"""

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


@compiled(nogil=True)
def slow_down(target: np.ndarray, draft: np.ndarray, k: int, listed: np.ndarray) -> float:
    """rho*, the root of ``1 - (1 - beta)^k - rho beta`` in [1, k]; see `batched.k_seq.slowdown`.

    Args:
        target, draft: ``(V,)`` float64.
        k: number of drafts.
        listed: ``(2, V)`` scratch.

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(slow_down(p, q, 2, np.empty((2, 3))), 9)
    1.4
    """
    settled, proposed, count = _undecided(target, draft, float(k), listed)
    low, high, rho = 1.0, float(k), 1.0
    for step in range(STEPS):
        met, below = _sums(settled, proposed, listed[:, :count], rho)
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


@compiled(nogil=True)
def k_seq(
    target: np.ndarray,
    draft: np.ndarray,
    drafts: np.ndarray,
    uniforms: np.ndarray,
    tile: int,
    tokens: np.ndarray,
    slots: np.ndarray,
) -> None:
    """See `LadderRule.compiled`.

    >>> laws = np.array([[0.3, 0.4, 0.3]]), np.array([[0.6, 0.3, 0.1]])
    >>> tokens, slots = np.empty(1, np.int64), np.empty(1, np.int64)
    >>> k_seq(*laws, np.array([[0, 1]]), np.array([[0.4, 0.9, 0.0]]), 2, tokens, slots)
    >>> tokens.tolist(), slots.tolist()
    ([1], [1])
    """
    k, size = drafts.shape[1], target.shape[1]
    scratch, left = np.empty((2, size)), np.empty((1, size))
    for b in range(drafts.shape[0]):
        p, q = target[b], draft[b]
        rho = slow_down(p, q, k, scratch)
        slots[b] = k
        for i in range(k):
            x = drafts[b, i]
            if p[x] / rho >= q[x] or uniforms[b, i] < p[x] / rho / q[x]:
                tokens[b], slots[b] = x, i
                break
        if slots[b] < k:
            continue
        beta = 0.0
        for x in range(size):
            left[0, x] = min(p[x] / rho, q[x])
            beta += left[0, x]
        gain = (1 - (1 - beta) ** k) / beta if beta > 0 else 0.0
        for x in range(size):
            left[0, x] = max(p[x] - gain * left[0, x], 0.0)
        draw_left(left, target[b : b + 1], uniforms[b, k:], tile, tokens[b : b + 1])


@compiled(nogil=True)
def _undecided(
    target: np.ndarray, draft: np.ndarray, most: float, listed: np.ndarray
) -> tuple[float, float, int]:
    """List the tokens where ``p / q`` lies in (1, most), and sum the others.

    Returns:
        Target mass of the tokens at or below the bracket, draft mass of those at or above it, and
        the number of the others, which ``listed`` holds from the left.
    """
    below, above, n = 0.0, 0.0, 0
    for x in range(target.shape[0]):
        p, q = target[x], draft[x]
        low, high = p <= q, p >= most * q
        below += p if low else 0.0
        above += q if high and not low else 0.0
        listed[0, n], listed[1, n] = p, q  # without a branch: the next overwrites it
        n += 0 if low or high else 1
    return below, above, n


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def _sums(settled: float, proposed: float, listed: np.ndarray, rho: float) -> tuple[float, float]:
    """``sum min(p, rho q)`` and ``sum q 1[rho q < p]`` over all tokens."""
    met, below = settled + rho * proposed, proposed
    for x in range(listed.shape[1]):
        p, q = listed[0, x], listed[1, x]
        scaled = rho * q
        met += min(scaled, p)
        below += q if scaled < p else 0.0
    return met, below
