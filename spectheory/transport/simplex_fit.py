"""The fully corrective step: the best weights for a handful of bases."""

from __future__ import annotations

import numpy as np

STEPS = 100


def fit_weights(
    bases: np.ndarray, target: np.ndarray, start: np.ndarray, steps: int = STEPS
) -> np.ndarray:
    """Weights of the mixture ``b = w . bases`` that leaves the least squared shortfall of p.

    Minimises ``sum_x p (1 - b/p)_+^2 / 2`` over the simplex by projected gradient steps with
    momentum, restarted when the step turns against the gradient. It never returns weights that are
    worse than ``start``.

    Args:
        bases: ``(n, V)``.
        target: ``(V,)``; tokens of mass 0 are left out.
        start: ``(n,)`` weights to begin from.
        steps: gradient steps.

    Returns:
        ``(n,)`` non-negative, sum 1.

    Reference: beck2009fast; odonoghue2015adaptive (restart).

    >>> bases = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> fit_weights(bases, np.array([0.25, 0.75]), np.array([0.0, 1.0])).round(6).tolist()
    [0.25, 0.75]
    """
    if len(start) == 1:
        return np.ones(1)
    kept = target > np.finfo(np.float64).tiny
    root = np.sqrt(target[kept])
    columns = bases[:, kept] / root
    best = point = ahead = start
    short = np.maximum(root - point @ columns, 0)
    lowest = short @ short
    stiffness = _stiffness(columns[:, short > 0])
    momentum = 1.0
    for _ in range(steps):
        short = np.maximum(root - ahead @ columns, 0)
        gradient = columns @ short
        moved = project(ahead + gradient / stiffness)
        objective = np.sum(np.maximum(root - moved @ columns, 0) ** 2)
        if objective > lowest * (1 + 1e-12):
            # Either momentum overshot, or columns that were not short before now are.
            if ahead is best:
                stiffness *= 2
            point = ahead = best
            momentum = 1.0
            continue
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - point)
        if objective == lowest and np.array_equal(moved, point):
            break
        best = point = moved
        lowest, momentum = objective, following
    return best


def project(point: np.ndarray) -> np.ndarray:
    """The nearest point of the probability simplex.

    Reference: duchi2008efficient, Algorithm 1.

    >>> project(np.array([0.5, 1.5])).tolist()
    [0.0, 1.0]
    """
    ranked = np.sort(point)[::-1]
    excess = np.cumsum(ranked) - 1
    last = np.flatnonzero(ranked * np.arange(1, len(point) + 1) > excess)[-1]
    weights = np.maximum(point - excess[last] / (last + 1), 0)
    return weights / weights.sum()


def _stiffness(columns: np.ndarray) -> float:
    """Largest curvature of the objective, by power iteration; positive."""
    vector = np.ones(len(columns))
    size = 1.0
    for _ in range(12):
        vector = columns @ (vector @ columns)
        size = float(np.linalg.norm(vector))
        if size <= 0:
            return 1.0
        vector /= size
    return 1.05 * size
