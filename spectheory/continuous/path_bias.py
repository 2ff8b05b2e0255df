"""The bias of rules that accept or redraw by something else than p / q, given the noise.

Both last kernels are Gaussian given the noise; where they have one covariance ``s^2 I``, everything
happens on the line through their means, with p = N(gap, 1) and q = N(0, 1) in units of s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr

from spectheory.errors import InputError


class FactorBias(NamedTuple):
    """What accepting with ``min(1, f p / q)`` does.

    Attributes:
        acceptance: ``beta = int min(q, f p)``.
        residual_mass: ``int (f p - q)_+ = f - beta``; f over it is the mean number of redraws.
        bias: total variation between the output's law and p; NaN if drafts are rejected but the
            residual is empty, since then nothing is output.
    """

    acceptance: float
    residual_mass: float
    bias: float


def factor_bias(gap: float, factor: float) -> FactorBias:
    """Acceptance and bias of accepting with ``min(1, f p / q)``, residual ``(f p - q)_+``.

    The output's law is ``min(q, f p) + (1 - beta) (f p - q)_+ / (f - beta)``, so

        ``TV = beta |f - 1| / (f - beta) TV(m, p)``,  ``m = min(q, f p) / beta``,

    which is 0 only for f = 1 or m = p. In closed form for p and q of one covariance.

    Args:
        gap: distance of the means in standard deviations, >= 0.
        factor: f > 0.

    Raises:
        InputError: a negative gap, or a factor that is not positive and finite.

    >>> round(factor_bias(1.0, 1.0).acceptance, 6), factor_bias(1.0, 1.0).bias
    (0.617075, 0.0)
    >>> factor_bias(0.0, 0.5).bias  # half of the drafts are rejected, and nothing can follow
    nan
    """
    if not (gap >= 0 and 0 < factor < math.inf):
        raise InputError(f"`gap` is {gap} and `factor` {factor}; expected >= 0 and > 0")
    if gap == 0:
        bias = 0.0 if factor >= 1 else math.nan
        return FactorBias(min(1.0, factor), max(0.0, factor - 1), bias)
    cut = gap / 2 - math.log(factor) / gap  # f p > q to the right
    beta = ndtr(-cut) + factor * ndtr(cut - gap)
    mass = factor * ndtr(gap - cut) - ndtr(-cut)
    if factor == 1:
        return FactorBias(float(beta), float(mass), 0.0)
    if mass <= 0:  # below float64's least number: m is p left of the cut, and the rest lies there
        return FactorBias(float(beta), 0.0, abs(factor - 1))
    # m / p is f / beta > 1 left of the cut and falls to 1 at `level`. Right of it, by upper tails:
    # the cut may lie far out, where lower ones are 1.
    level = gap / 2 - (math.log(beta)) / gap
    distance = ndtr(gap - level) - ndtr(-level) / beta
    return FactorBias(float(beta), float(mass), float(beta * abs(factor - 1) / mass * distance))


def factor_law(x: np.ndarray, gap: float, factor: float) -> np.ndarray:
    """Distribution function of the output of `factor_bias`'s rule on the line.

    NaN where nothing is output; see `factor_bias`.

    >>> from scipy.stats import norm
    >>> x = np.linspace(-3, 3, 7)
    >>> bool(np.allclose(factor_law(x, 1.0, 1.0), norm.cdf(x - 1)))
    True
    """
    beta, mass, _ = factor_bias(gap, factor)
    if gap == 0:
        return np.asarray(ndtr(x) if factor >= 1 else np.full(np.shape(x), math.nan))
    cut = gap / 2 - math.log(factor) / gap
    low, high = np.minimum(x, cut), np.maximum(x, cut)
    kept = factor * ndtr(low - gap) + ndtr(high) - ndtr(cut)
    if mass == 0:
        return np.asarray(kept + (1 - beta) * (x > cut))
    redrawn = factor * (ndtr(gap - cut) - ndtr(gap - high)) - (ndtr(-cut) - ndtr(-high))
    return np.asarray(kept + (1 - beta) * redrawn / mass)


class TemperedBias(NamedTuple):
    """What accepting by a tempered ratio does.

    Attributes:
        acceptance: ``int q a``.
        least_bias: ``int (q a - p)_+``, the bias of the best residual: no other goes below.
    """

    acceptance: float
    least_bias: float


def tempered_bias(gap: float, temperature: float) -> TemperedBias:
    """Acceptance and least bias of ``a(x) = min(1, (p / q)^(1 / tau^2))``.

    Whatever is output in place of rejected drafts, ``TV >= int (q a - p)_+``, and the residual
    ``(p - q a)_+`` attains it. In closed form for p and q of one covariance: with
    ``k = 1 / tau^2``, ``q (p / q)^k = exp(-k (1 - k) gap^2 / 2) N(k gap, 1)``.

    Args:
        gap: distance of the means in standard deviations, > 0.
        temperature: tau >= 1.

    Raises:
        InputError: another gap or temperature.

    >>> [round(value, 4) for value in tempered_bias(1.0, 2.0)]
    [0.8537, 0.2366]
    """
    if not (gap > 0 and 1 <= temperature < math.inf):
        raise InputError(f"`gap` is {gap}, `temperature` {temperature}; expected > 0 and >= 1")
    k = temperature**-2
    # p > q right of the middle; q a > p left of it, since a = (p / q)^k > p / q there.
    middle = gap / 2
    tilted = math.exp(-0.5 * k * (1 - k) * gap**2 + float(log_ndtr(middle - k * gap)))
    return TemperedBias(float(tilted + ndtr(-middle)), float(max(0.0, tilted - ndtr(middle - gap))))
