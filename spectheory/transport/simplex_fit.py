"""The fully corrective step: the best weights for a handful of bases."""

from __future__ import annotations

import numpy as np

STEPS = 12


def fit_weights(
    bases: np.ndarray, target: np.ndarray, start: np.ndarray, steps: int = STEPS
) -> np.ndarray:
    """Weights of the mixture ``b = w . bases`` that leaves the least squared shortfall of p.

    Minimises ``sum_x p (1 - b/p)_+^2 / 2`` over the simplex, piecewise quadratic, by Newton steps:
    the tokens that are short now give a least-squares problem on the simplex, which is solved
    exactly, and the step towards its solution goes as far as the objective falls. It never
    returns weights that are worse than ``start``.

    Args:
        bases: ``(n, V)``.
        target: ``(V,)``; tokens of mass 0 are left out.
        start: ``(n,)`` weights to begin from.
        steps: Newton steps at most.

    Returns:
        ``(n,)`` non-negative, sum 1.

    Reference: keerthi2005modified (this Newton method), lawson1974solving (least squares).

    >>> bases = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> fit_weights(bases, np.array([0.25, 0.75]), np.array([0.0, 1.0])).round(6).tolist()
    [0.25, 0.75]
    """
    if len(start) == 1:
        return np.ones(1)
    kept = target > np.finfo(np.float64).tiny
    root = np.sqrt(target[kept])
    columns = bases[:, kept] / root
    weights, short = start, root - combination(start, columns)
    lowest = np.sum(np.maximum(short, 0) ** 2)
    for _ in range(steps):
        active = short > 0
        goal = nearest_weights(root[active] - columns[:, active])
        towards = combination(goal - weights, columns)
        size = _step(short, towards)
        moved = short - size * towards
        objective = np.sum(np.maximum(moved, 0) ** 2)
        if objective >= lowest:
            break
        weights, short = weights + size * (goal - weights), moved
        if objective > 0.9999 * lowest:
            break
        lowest = objective
    return weights


def combination(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``weights @ rows`` on one thread; see `spectheory.kernels.triangle` for why.

    >>> combination(np.array([0.5, 0.5]), np.array([[1.0, 2.0], [3.0, 6.0]])).tolist()
    [2.0, 4.0]
    """
    return np.einsum("n,nv->v", weights, rows)


def _step(short: np.ndarray, towards: np.ndarray) -> float:
    """The step in [0, 1] of least ``sum (short - step towards)_+^2``, by bisecting the slope."""

    def falls(size: float) -> bool:
        return float(np.sum(towards * np.maximum(short - size * towards, 0))) > 0

    if falls(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) else (low, middle)
    return low


def nearest_weights(points: np.ndarray) -> np.ndarray:
    """Weights of the point of the convex hull that is nearest to the origin.

    ``min |w . points|`` on the simplex is a non-negative least-squares problem: minimise
    ``|w . points|^2 + (1 - sum w)^2`` over ``w >= 0`` and divide by the sum.

    Args:
        points: ``(n, d)``.

    >>> nearest_weights(np.array([[1.0, 1.0], [1.0, -1.0], [3.0, 0.0]])).round(12).tolist()
    [0.5, 0.5, 0.0]
    """
    from scipy.optimize import nnls

    count, width = points.shape
    scale = np.sqrt(np.mean(points**2)) if points.size else 0.0
    system = points.T / scale if scale > 0 else points.T
    if width > count:  # only inner products matter
        from spectheory.kernels.triangle import triangle

        system = triangle(np.array(system.T, order="C"))
    system = np.vstack([system, np.ones(count)])
    aim = np.zeros(len(system))
    aim[-1] = 1.0
    weights, _ = nnls(system, aim, maxiter=10 * count + 100)
    return weights / weights.sum()
