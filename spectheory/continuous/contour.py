"""Mellin inversion: expectations of the likelihood ratio from its moments, in log space.

With ``M(s) = E_q r^s`` and 0 < Re s < 1,

    E_q min(r, c)     = 1/(2 pi i) int c^(1-s) M(s) / (s (1-s)) ds,
    E_q r / (1 + r)   = 1/(2 pi i) int M(s) pi / sin(pi s) ds.

The path crosses the real axis at the saddle point, where the integrand is as large as the result,
so results far below the smallest float64 keep their digits as logarithms. Beyond a pole, min(r, c)
loses its residue: it is c - (c - r)_+ left of 0, and r - (r - c)_+ right of 1. The path is bent
into a hyperbola towards the side where the integrand decays, and the trapezoid rule on a double-
exponential parameter converges geometrically.

Reference: trefethen2014exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from spectheory.errors import InputError

LogIntegrand = Callable[[np.ndarray], np.ndarray]
"""Logarithm of an integrand, analytic off the real axis; ``(n,)`` complex to ``(n,)`` complex."""

_END = 36.0
"""Parameter where the path surely ends: the integrand falls at least as ``exp(-theta)``, to 1e-15,
and its first factor of the dimension besides."""

_BEND = 0.36
"""Slope of the hyperbola: well below 1, so that a Gaussian's ``exp(s^2)`` still decays on it."""


def saddle(log_real: Callable[[float], float], near: float, far: float) -> float:
    """Minimiser of a convex function between ``near`` and ``far``, which may be infinite.

    The search starts at ``near`` and doubles its step, so the scale of the minimum is found even
    where the interval is longer by many orders.
    """
    sign = math.copysign(1.0, far - near)
    room = abs(far - near)
    step = min(0.5, room / 4)
    while 2 * step < room and log_real(near + 2 * sign * step) < log_real(near + sign * step):
        step *= 2
    low, high = sorted((near, near + sign * min(2 * step, room)))
    found = minimize_scalar(
        log_real, bounds=(low, high), method="bounded", options={"xatol": 1e-4 * (high - low)}
    )
    return float(found.x)


def path_nodes(
    crossing: float, scale: float, side: int, step: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points on the upper half of the path and their complex weights; the rest is conjugate.

    Args:
        crossing: where the path meets the real axis.
        scale: its size there.
        side: 1 bends to the right, -1 to the left, 0 not at all.
        step: of the trapezoid rule.
        stop: where the parameter ends.
    """
    theta = step * np.arange(int(stop / step) + 1)
    bend = side * _BEND
    rise, run = np.sinh(theta), np.cosh(theta)
    points = crossing + scale * (1j * rise + bend * (run - 1))
    weights = step * scale * (1j * run + bend * rise)
    weights[0] /= 2
    return points, weights


def log_integrals(
    log_integrand: LogIntegrand,
    log_factors: Callable[[np.ndarray], np.ndarray],
    crossing: float,
    scale: float,
    side: int,
    tolerance: float = 1e-13,
) -> tuple[np.ndarray, np.ndarray]:
    """Sign and log of ``1/(2 pi i) int f(s) g_j(s) ds`` for several factors on one path.

    Args:
        log_integrand: log f, evaluated once a point.
        log_factors: ``(n,)`` points to ``(m, n)`` logs of the factors g_j.
        crossing, scale, side: see `path_nodes`.
        tolerance: agreement of two step sizes, relative to the integrand at the crossing.

    Raises:
        InputError: the rule did not settle.
    """
    before, stop = None, _END
    for halving in range(2, 11):
        points, weights = path_nodes(crossing, scale, side, 2.0**-halving, stop)
        common, own = log_integrand(points), log_factors(points)
        logs = common + own
        top = logs[:, :1].real
        rounding = 1e-15 * (1 + np.abs(common[0]) + np.abs(own[:, 0]))
        terms = np.exp(logs - top) * weights
        now = terms.imag.sum(axis=1) / math.pi
        if before is None:
            weighty = np.abs(terms).max(axis=0) > 1e-18 * scale
            stop = 2.0**-halving * (int(np.flatnonzero(weighty)[-1]) + 2)
        else:
            size = np.maximum(np.abs(now), scale * 1e-3)
            if np.all(np.abs(now - before) <= (tolerance + rounding) * size):
                with np.errstate(divide="ignore"):
                    return np.sign(now), np.log(np.abs(now)) + top[:, 0]
        before = now
    raise InputError(
        "the law of the likelihood ratio cannot be inverted to 13 digits for this pair; "
        "covariances on very different scales?"
    )
