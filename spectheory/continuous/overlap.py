"""The overlap of a pair: how often one draft can be accepted. Exact where that can be had."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spectheory.continuous.closed_forms import closed_form_overlap
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.gaussian_ratio import gaussian_ratio
from spectheory.continuous.line_ratio import LineRatio
from spectheory.continuous.mixture import on_line
from spectheory.continuous.monte_carlo import mixture_mean
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.ratio_law import RatioLaw
from spectheory.errors import InputError, NoRatioLaw


@dataclass(frozen=True)
class Overlap:
    """``int min(p, q) = 1 - TV(p, q)``, the acceptance of the best coupling of one draft.

    Attributes:
        value: the overlap, or its estimate.
        log: its natural logarithm, where ``value`` underflows.
        method: how it was found.
        low, high: an interval that holds it: of rounding width where it is exact, else missed with
            probability at most ``error_rate``.
        error_rate: 0 where it is exact.
    """

    value: float
    log: float
    method: str
    low: float
    high: float
    error_rate: float

    @property
    def exact(self) -> bool:
        """Whether the value is right to rounding."""
        return self.error_rate == 0


@lru_cache(maxsize=64)
def ratio_law(pair: ContinuousPair) -> RatioLaw:
    """The law of the pair's likelihood ratio.

    Raises:
        NoRatioLaw: neither two Gaussians nor two densities on the line with known distribution
            functions.

    >>> from spectheory.continuous.univariate import student, uniform
    >>> ratio_law(ContinuousPair(student(3.0), uniform(-1.0, 1.0))).method
    'level crossings of the ratio on the line'
    """
    if isinstance(pair.target, Gaussian) and isinstance(pair.draft, Gaussian):
        return gaussian_ratio(pair.target, pair.draft)
    target, draft = on_line(pair.target), on_line(pair.draft)
    if target is not None and draft is not None:
        return LineRatio(target, draft)
    raise NoRatioLaw(
        f"the law of the likelihood ratio of a {pair.target.family} and a {pair.draft.family} "
        f"density in {pair.dimension} dimensions is not known; it is for two Gaussians, and on the "
        "line where distribution functions are"
    )


def overlap(
    pair: ContinuousPair,
    rng: np.random.Generator | None = None,
    draws: int = 1 << 18,
    error_rate: float = 1e-3,
) -> Overlap:
    """The pair's overlap by the best method there is: closed form, ratio law, Monte Carlo.

    Args:
        pair: target and draft.
        rng: for Monte Carlo, which is used only where nothing exact is known.
        draws: for Monte Carlo, half from each density.
        error_rate: probability that the Monte Carlo interval misses the overlap.

    Raises:
        InputError: Monte Carlo is needed and no ``rng`` was given.

    >>> shifted = ContinuousPair(Gaussian(np.zeros(4)), Gaussian(np.full(4, 0.5)))
    >>> found = overlap(shifted)
    >>> found.value, found.exact, found.method
    (0.617075077, True, 'closed form: Gaussians with one covariance')
    """
    try:
        return exact_overlap(pair)
    except NoRatioLaw:
        if rng is None:
            raise InputError(
                "nothing exact is known for this pair; pass `rng` for an estimate with an interval"
            ) from None
    mean, width = mixture_mean(pair, "overlap", rng, draws, error_rate)
    low, high = max(mean - width, 0.0), min(mean + width, 1.0)
    log = math.log(mean) if mean > 0 else -math.inf
    return Overlap(mean, log, f"Monte Carlo, {draws} draws", low, high, error_rate)


def exact_overlap(pair: ContinuousPair) -> Overlap:
    """The pair's overlap by closed form, else from the law of its ratio.

    Raises:
        NoRatioLaw: neither is known.
    """
    closed = closed_form_overlap(pair)
    if closed is not None:
        log, method = closed.log, f"closed form: {closed.name}"
    else:
        law = ratio_law(pair)
        log, method = float(law.log_capped(0.0)), law.method
    value = math.exp(log)
    return Overlap(value, log, method, value, value, 0.0)
