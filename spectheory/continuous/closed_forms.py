"""Overlaps that have a formula."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import chi2, ncx2

from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.gaussian_ratio import GaussianShift, gaussian_ratio
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import Univariate

_LOWEST = -600.0
"""Logs of chi-square tails are of the tails themselves, which lose their digits near e^-708."""

_CENTRE = 100.0
"""Up to this distance of a ball's centre, scipy's non-central chi-square has 13 digits; from 2e5 on
it is percents off, then NaN."""


class ClosedForm(NamedTuple):
    """The log of an overlap, and which formula gave it."""

    log: float
    name: str


def closed_form_overlap(pair: ContinuousPair) -> ClosedForm | None:
    """The overlap by formula, or None where there is none.

    >>> from spectheory.continuous.univariate import exponential
    >>> found = closed_form_overlap(ContinuousPair(exponential(1.0), exponential(2.5)))
    >>> round(math.exp(found.log), 6), found.name
    (0.67427, 'exponentials')
    """
    target, draft = pair.target, pair.draft
    if isinstance(target, Gaussian) and isinstance(draft, Gaussian):
        law = gaussian_ratio(target, draft)
        if isinstance(law, GaussianShift):
            return ClosedForm(shifted_gaussians(law.distance), "Gaussians with one covariance")
        return _isotropic(target, draft)
    if not (isinstance(target, Univariate) and isinstance(draft, Univariate)):
        return None
    one, two = target.parameters, draft.parameters
    match (target.name, draft.name) if one and two else ():
        case ("Laplace", "Laplace") if one[1] == two[1]:
            return ClosedForm(-abs(one[0] - two[0]) / (2 * one[1]), "Laplaces of one scale")
        case ("exponential", "exponential") if one[1] == two[1]:
            return ClosedForm(exponentials(one[0], two[0]), "exponentials")
        case ("uniform", "uniform"):
            return ClosedForm(uniforms((one[0], one[1]), (two[0], two[1])), "uniforms")
    return None


def shifted_gaussians(distance: float) -> float:
    """``log 2 Phi(-delta / 2)``, delta the Mahalanobis distance.

    >>> [round(math.exp(shifted_gaussians(delta)), 6) for delta in (0.5, 1, 2, 3)]
    [0.802587, 0.617075, 0.317311, 0.133614]
    """
    return math.log(2) + float(log_ndtr(-distance / 2))


def scaled_gaussians(dimension: int, scale: float, distance: float = 0.0) -> float:
    """Log overlap of ``N(0, I_d)`` and ``N(m, s^2 I_d)`` with ``|m|`` the distance.

    The region where the wider one is larger is outside a ball, whose masses are chi-square (of
    ``|m| > 0``: non-central) distribution functions:
    ``alpha = P(chi^2_d(c^2) > R) + P(chi^2_d((|m| - c)^2 / s^2) < R / s^2)``.
    Right to 13 digits while the centre, ``|c| = |m| / (s^2 - 1)``, is at most 100 away.

    >>> [round(math.exp(scaled_gaussians(d, 1.3)), 6) for d in (1, 4, 16, 64)]
    [0.873754, 0.722314, 0.463552, 0.139545]
    >>> round(math.exp(scaled_gaussians(3, 1.4, 1.1)), 6)
    0.552998
    """
    if scale < 1:  # seen from the other one, in its units
        scale, distance = 1 / scale, distance / scale
    excess = 1 - scale**-2
    centre = -distance / (scale**2 * excess)
    stretch = (distance / scale) ** 2 / excess
    radius = (2 * dimension * math.log(scale) + stretch) / excess
    if distance == 0:
        outside = chi2.logsf(radius, dimension)
        inside = chi2.logcdf(radius / scale**2, dimension)
    else:
        outside = np.log(ncx2.sf(radius, dimension, centre**2))
        shift = (distance - centre) ** 2 / scale**2
        inside = np.log(ncx2.cdf(radius / scale**2, dimension, shift))
    return float(np.logaddexp(outside, inside))


def exponentials(rate: float, other: float) -> float:
    """Log of ``1 - g^(g / (1 - g)) (1 - g)`` with g the smaller rate over the larger.

    >>> round(math.exp(exponentials(1.0, 2.5)), 6)
    0.67427
    """
    low, high = sorted((rate, other))
    if low == high:
        return 0.0
    share = low / high
    if share < 1e-20:  # g (1 - log g), but for terms of g^2
        log_share = math.log(low) - math.log(high)
        return log_share + math.log1p(-log_share)
    log_power = share / (1 - share) * math.log(share)
    if share < 0.5:
        return math.log(-math.expm1(log_power + math.log1p(-share)))
    return math.log1p(-math.exp(log_power) * (1 - share))


def uniforms(one: tuple[float, float], two: tuple[float, float]) -> float:
    """Log of the common length over the longer length.

    >>> round(math.exp(uniforms((0.0, 2.0), (1.0, 4.0))), 6)
    0.333333
    """
    common = min(one[1], two[1]) - max(one[0], two[0])
    if common <= 0:
        return -math.inf
    return math.log(common) - math.log(max(one[1] - one[0], two[1] - two[0]))


def _isotropic(target: Gaussian, draft: Gaussian) -> ClosedForm | None:
    """By `scaled_gaussians` where both covariances are multiples of the identity.

    Where scipy's tails lose their digits or underflow (the non-central chi-square's early and
    where the spreads nearly agree, the central one's at the end of float64) the contour integral
    is better, so that is left to it.
    """
    spreads = [law.variances for law in (target, draft)]
    if any(law.covariance is not None for law in (target, draft)):
        return None
    if any(np.any(spread != spread[0]) for spread in spreads):
        return None
    scale = math.sqrt(float(spreads[0][0] / spreads[1][0]))
    distance = float(np.linalg.norm(target.mean - draft.mean)) / math.sqrt(float(spreads[1][0]))
    if scale == 1:  # spreads a rounding apart
        return None
    if distance == 0:
        log = scaled_gaussians(target.dimension, scale)
        return ClosedForm(log, "Gaussians, one a scaled other") if log > _LOWEST else None
    if target.dimension > 100 or distance > min(5.0, _CENTRE * abs(scale - 1 / scale)):
        return None
    log = scaled_gaussians(target.dimension, scale, distance)
    return ClosedForm(log, "isotropic Gaussians") if log > math.log(1e-6) else None
