"""Growth of many constant bets at once, draw by draw."""

from __future__ import annotations

import math

import numpy as np

from spectheory.kernels.compiling import compiled

BLOCK = 32
"""Draws between returns to logarithms; 1e-3 ** 32 and 2 ** 32 are far from under- and overflow."""


@compiled(nogil=True)
def place_bets(
    log_wealth: np.ndarray,
    bets: np.ndarray,
    scores: np.ndarray,
    log_peak: np.ndarray,
    log_mean: np.ndarray,
) -> None:
    """Multiply each bet's wealth by ``1 + bet * score``, and average after every draw.

    Args:
        log_wealth: ``(tests, bets)`` logarithms, updated in place.
        bets: ``(bets,)`` in (-1, 1).
        scores: ``(n, tests)`` in [-1, 1].
        log_peak: ``(tests,)`` highest logarithm of each test's mean wealth so far, updated.
        log_mean: ``(n,)`` logarithm of the mean over tests and bets after each draw, written.
    """
    tests, count = log_wealth.shape
    start = np.empty((tests, count))
    top = np.empty(tests)
    growth = np.empty((tests, count))
    peak = np.empty(tests)
    for first in range(0, scores.shape[0], BLOCK):
        highest = log_wealth.max()
        for t in range(tests):
            top[t] = log_wealth[t].max()
            peak[t] = 0.0
            for j in range(count):
                start[t, j] = math.exp(log_wealth[t, j] - top[t]) / count
                growth[t, j] = 1.0
        for i in range(first, min(first + BLOCK, scores.shape[0])):
            total = 0.0
            for t in range(tests):
                score = scores[i, t]
                wealth = 0.0
                for j in range(count):
                    growth[t, j] *= 1.0 + bets[j] * score
                    wealth += start[t, j] * growth[t, j]
                peak[t] = max(peak[t], wealth)
                total += wealth * math.exp(top[t] - highest)
            log_mean[i] = highest + math.log(total / tests)
        for t in range(tests):
            log_peak[t] = max(log_peak[t], top[t] + math.log(peak[t]))
            for j in range(count):
                log_wealth[t, j] += math.log(growth[t, j])
