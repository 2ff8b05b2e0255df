"""Is a continuous sampler's law the one with this distribution function?

For a target that can only be sampled see `continuous_two_sample`; for many dimensions, a Rosenblatt
transform turns the question into one of uniform numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kstwo

from spectheory.audit.chi_square_mixture import mixture_tail
from spectheory.audit.discrepancy import (
    POWER,
    Discrepancy,
    check_alpha,
    check_sample,
    strongest,
)
from spectheory.errors import InputError, ShapeError


def audit_cdf(
    samples: Any, cdf: Callable[[np.ndarray], np.ndarray], alpha: float = 1e-6
) -> Discrepancy:
    """Test that draws are independent with a given continuous distribution function.

    The stronger of Kolmogorov-Smirnov, on the draws and on how consecutive ones follow each other,
    and Anderson-Darling (which sees the tails).

    Args:
        samples: ``(n,)`` draws, in the order drawn.
        cdf: the target's distribution function, vectorised.
        alpha: false-alarm rate of all tests together.

    Raises:
        InputError, ShapeError: bad samples, or a ``cdf`` that leaves [0, 1].

    >>> from scipy.stats import norm
    >>> draws = np.random.default_rng(0).normal(size=50_000)
    >>> audit_cdf(draws, norm.cdf).biased
    False
    >>> audit_cdf(1.05 * draws, norm.cdf).biased
    True
    """
    values = check_sample("samples", samples)
    if values.shape[1] != 1:
        raise ShapeError(
            f"`samples` has {values.shape[1]} coordinates; a distribution function is of one. "
            "Use `audit_transform`, or `audit_energy` against draws of the target"
        )
    return audit_uniform(np.asarray(cdf(values[:, 0])), alpha)


def audit_transform(
    samples: Any, transform: Callable[[np.ndarray], np.ndarray], alpha: float = 1e-6
) -> Discrepancy:
    """Test a law in d dimensions through its Rosenblatt transform.

    ``u_j = F(x_j | x_1, ..., x_{j-1})`` is uniform on the cube if and only if x has the law.

    Args:
        samples: ``(n, d)`` draws, in the order drawn.
        transform: maps ``(n, d)`` to ``(n, d)`` in [0, 1].
        alpha: false-alarm rate of all tests together.

    Raises:
        InputError, ShapeError: bad samples, or values outside [0, 1].

    Reference: rosenblatt1952remarks.

    >>> from scipy.stats import norm
    >>> x = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 20_000)
    >>> def chain(x):
    ...     return np.stack([norm.cdf(x[:, 0]), norm.cdf((x[:, 1] - 0.6 * x[:, 0]) / 0.8)], axis=1)
    >>> audit_transform(x, chain).biased
    False
    >>> audit_transform(x, norm.cdf).biased  # right in each coordinate, wrong together
    True
    """
    values = check_sample("samples", samples)
    uniforms = np.asarray(transform(values), dtype=np.float64)
    if uniforms.shape != values.shape:
        raise ShapeError(
            f"`transform` gave shape {uniforms.shape} for samples of shape {values.shape}"
        )
    return audit_uniform(uniforms, alpha)


def audit_uniform(uniforms: Any, alpha: float = 1e-6) -> Discrepancy:
    """Test that rows are independent and uniform on the unit cube.

    Kolmogorov-Smirnov and Anderson-Darling on each coordinate; Kolmogorov-Smirnov on sums
    and differences modulo 1 of each two coordinates and of consecutive rows, which are uniform if
    the two are independent. The strongest finding is paid for by Bonferroni.

    Args:
        uniforms: ``(n, d)`` or ``(n,)``.
        alpha: false-alarm rate of all tests together.

    Raises:
        InputError, ShapeError: bad samples, or values outside [0, 1].
    """
    check_alpha(alpha)
    values = check_sample("uniforms", uniforms)
    if values.min() < 0 or values.max() > 1:
        raise InputError(
            f"probability-integral transforms lie in [0, 1]; got {values.min():.6g} to "
            f"{values.max():.6g}. A density in place of a distribution function?"
        )
    dimension = values.shape[1]
    share = alpha / (4 * dimension + 2 * math.comb(dimension, 2))
    return strongest(_uniform_findings(values, share))


def _uniform_findings(values: np.ndarray, alpha: float) -> Iterator[Discrepancy]:
    for j, column in enumerate(values.T):
        yield kolmogorov_smirnov(column, alpha, f"coordinate {j}")
        yield anderson_darling(column, alpha, f"coordinate {j}")
        half = column.size // 2 * 2  # pairs that do not overlap, so that they are independent
        yield from _dependence(
            column[0:half:2], column[1:half:2], alpha, f"consecutive draws of coordinate {j}"
        )
    for i, j in combinations(range(values.shape[1]), 2):
        yield from _dependence(
            values[:, i], values[:, j], alpha, f"coordinates {i} and {j} together"
        )


def _dependence(u: np.ndarray, v: np.ndarray, alpha: float, what: str) -> Iterator[Discrepancy]:
    """The sum sees a mirrored copy, the difference a plain one; each is blind to the other."""
    yield kolmogorov_smirnov((u + v) % 1.0, alpha, what)
    yield kolmogorov_smirnov((u - v) % 1.0, alpha, what)


def kolmogorov_smirnov(uniforms: np.ndarray, alpha: float, what: str = "draws") -> Discrepancy:
    """Largest gap between the empirical and the uniform distribution function; exact.

    The gap is at most the total variation. A gap of ``smallest`` is seen because at the point where
    it stands the empirical function deviates by more than ``sqrt(log(100) / 2n)`` with probability
    at most 1 % (Hoeffding).

    >>> found = kolmogorov_smirnov(np.arange(1, 100) / 100, 1e-6)
    >>> round(found.distance, 6), found.biased
    (0.01, False)
    """
    ranked, n = np.sort(uniforms), uniforms.size
    steps = np.arange(n + 1) / n
    distance = float(max((steps[1:] - ranked).max(), (ranked - steps[:-1]).max()))
    critical = float(kstwo.isf(alpha, n))
    return Discrepancy(
        test=f"Kolmogorov-Smirnov on {what}",
        distance=distance,
        unit="Kolmogorov distance",
        p_bound=float(kstwo.sf(distance, n)),
        calibration="exact",
        draws=(n,),
        alpha=alpha,
        smallest=critical + math.sqrt(-math.log(1 - POWER) / (2 * n)),
        upper=distance + critical,
    )


def anderson_darling(uniforms: np.ndarray, alpha: float, what: str = "draws") -> Discrepancy:
    """``A^2 = n int (F_n - u)^2 / (u (1 - u)) du`` against its limit law ``sum Z_j^2 / (j (j+1))``.

    The unit is the square root of that integral, ``sqrt(A^2 / n)``. It has neither ``smallest`` nor
    ``upper``: any mass at 0 or 1, too little to be drawn, makes the true distance infinite.

    Reference: anderson1952asymptotic.

    >>> found = anderson_darling(np.arange(1, 1000) / 1000, 1e-6)
    >>> found.biased
    False
    """
    n = uniforms.size
    # A draw at 0 or 1 has probability 0 under the null and an infinite statistic; rounding of a
    # distribution function in its upper tail gets there, so it counts as the nearest double.
    ranked = np.clip(np.sort(uniforms), np.finfo(float).tiny, 1 - 2**-53)
    odd = 2 * np.arange(1, n + 1) - 1
    squared = float(-n - (odd * (np.log(ranked) + np.log1p(-ranked[::-1]))).sum() / n)
    distance = math.sqrt(max(squared, 0.0) / n)
    return Discrepancy(
        test=f"Anderson-Darling on {what}",
        distance=distance,
        unit="Anderson-Darling distance",
        p_bound=mixture_tail(_WEIGHTS, squared - _REST),
        calibration="asymptotic",
        draws=(n,),
        alpha=alpha,
        smallest=None,
        upper=None,
    )


_INDEX = np.arange(1, 201)
_WEIGHTS = 1 / (_INDEX * (_INDEX + 1.0))
_REST = 1 - float(_WEIGHTS.sum())
"""Mean of the terms of the limit law beyond the first 200, whose variance is below 1e-7."""
