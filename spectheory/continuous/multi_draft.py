"""Acceptance of k i.i.d. drafts: the optimum, and the ladders of K-SEQ and recursive rejection.

All follow from ``C(c) = int min(p, c q)``. The optimum is the least of ``1 + P(H) - Q(H)^k`` over
level sets H of r; with the tangents of the convex ``u^k`` in place of the power, the minimum over H
is C itself:

    alpha*_k = min over v in [0, 1] of  C(k v^(k-1)) + 1 + (k - 1) v^k - k v^(k-1).

Reference: hu2025towards (the dual over subsets), spectheory2026optimal.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from spectheory.continuous.ratio_law import RatioLaw
from spectheory.errors import InputError

_GRID = 2_048
"""Points of the dual's first search; every dip between them is then refined."""

_NEAR = 0.02
"""Dips this far above the lowest, in the logarithm, cannot become it between two grid points."""


class SlowDown(NamedTuple):
    """K-SEQ's parameter: each draft is accepted with ``min(1, r / rho)``, in all with ``beta``."""

    rho: float
    beta: float


def optimal_acceptance(law: RatioLaw, k: int) -> float:
    """``alpha*_k``: the most that any lossless rule for k i.i.d. drafts can accept.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> [round(optimal_acceptance(GaussianShift(1.0), k), 6) for k in (1, 2, 4)]
    [0.617075, 0.792022, 0.924197]
    """
    return math.exp(log_optimal_acceptance(law, k))


def log_optimal_acceptance(law: RatioLaw, k: int) -> float:
    """``log alpha*_k``, where the acceptance itself underflows.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> round(log_optimal_acceptance(GaussianShift(100.0), 4), 3)
    -1253.445
    """
    check_drafts(k)
    if k == 1:
        return float(law.log_capped(0.0))

    def log_dual(w: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_v = np.log1p(-(w**2))
            gap = np.log(_tangent_gap(w**2, k))
        return np.logaddexp(law.log_capped(math.log(k) + (k - 1) * log_v), gap)

    # v = 1 - w^2 packs points towards v = 1, where the optimum of many drafts is.
    grid = np.linspace(0.0, 1.0, _GRID)
    values = log_dual(grid)
    best = float(values.min())
    dips = np.flatnonzero(_dips(values) & (values < best + _NEAR))
    for i in map(int, dips):
        found = minimize_scalar(
            lambda w: float(log_dual(np.array([w]))[0]),
            bounds=(float(grid[max(i - 1, 0)]), float(grid[min(i + 1, _GRID - 1)])),
            method="bounded",
            options={"xatol": 1e-10},
        )
        best = min(best, float(found.fun))
    return best


def slow_down(law: RatioLaw, k: int) -> SlowDown:
    """The least rho with which K-SEQ is lossless: ``1 - (1 - beta)^k = rho beta``.

    ``beta(rho) = int min(q, p / rho) = C(rho) / rho``.

    Reference: sun2023spectr, Theorem 2.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> round(ladder_k_seq(GaussianShift(1.0), 4), 6)
    0.839246
    """
    check_drafts(k)

    def excess(log_rho: float) -> float:
        beta = _beta(law, log_rho)
        return -math.expm1(k * math.log1p(-beta)) - math.exp(log_rho) * beta if beta < 1 else 0.0

    # At rho = 1 the excess is 1 - TV^k - (1 - TV) >= 0, at rho = k it is <= 0.
    most = math.log(k)
    if k == 1 or excess(0.0) <= 0:
        log_rho = 0.0
    elif excess(most) >= 0:  # by rounding, where beta is next to nothing
        log_rho = most
    else:
        log_rho = float(brentq(excess, 0.0, most, xtol=1e-15))
        while excess(log_rho) > 0:  # the lossless side of the root
            log_rho += 1e-15 * max(1.0, log_rho)
    return SlowDown(math.exp(log_rho), _beta(law, log_rho))


def ladder_k_seq(law: RatioLaw, k: int) -> float:
    """Acceptance of K-SEQ, ``1 - (1 - beta)^k``."""
    beta = slow_down(law, k).beta
    return -math.expm1(k * math.log1p(-beta)) if beta < 1 else 1.0


def recursion(law: RatioLaw, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What recursive rejection has left before each draft.

    Returns:
        levels: ``(k + 1,)`` lambda: after i failures the residual is ``(p - lambda_i q)_+``.
        left: ``(k + 1,)`` its mass G; draft i + 1 is accepted with
            ``min(1, (r - lambda_i)_+ / G_i)``, and ``lambda_(i+1) = lambda_i + G_i``.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> recursion(GaussianShift(1.0), 2)[0].round(6).tolist()
    [0.0, 1.0, 1.382925]
    """
    check_drafts(k)
    levels, left = np.zeros(k + 1), np.ones(k + 1)
    for i in range(k):
        levels[i + 1] = levels[i] + left[i]
        left[i + 1] = max(1 - float(law.capped(levels[i + 1])), 0.0)
    return levels, left


def ladder_recursive(law: RatioLaw, k: int) -> float:
    """Acceptance of recursive rejection, ``C(lambda_k) = 1 - G_k`` without the difference.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> round(ladder_recursive(GaussianShift(1.0), 4), 6)
    0.797811
    """
    return float(law.capped(recursion(law, k)[0][-1]))


def check_drafts(k: Any) -> None:
    """Refuse a number of drafts that is no integer of at least 1.

    Raises:
        InputError: as said.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"`k` is {k!r}; expected an integer >= 1")


def _beta(law: RatioLaw, log_rho: float) -> float:
    return min(math.exp(float(law.log_capped(log_rho)) - log_rho), 1.0)


def _tangent_gap(rest: np.ndarray, k: int) -> np.ndarray:
    """``1 + (k - 1) v^k - k v^(k-1) = (1 - v)^2 sum_j j v^(j-1)`` for j < k, from ``1 - v``."""
    j = np.arange(1, k, dtype=np.float64)
    return np.asarray(rest**2 * np.polynomial.polynomial.polyval(1 - rest, j))


def _dips(values: np.ndarray) -> np.ndarray:
    """Where a value is below one neighbour and not above the other."""
    padded = np.concatenate([[np.inf], values, [np.inf]])
    before, after = padded[:-2] - values, padded[2:] - values
    return np.asarray((np.minimum(before, after) >= 0) & (np.maximum(before, after) > 1e-14))
