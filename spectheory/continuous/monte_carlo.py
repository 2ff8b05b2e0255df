"""Monte Carlo means of a pair with intervals that hold at any number of draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spectheory.continuous.pair import ContinuousPair
from spectheory.errors import InputError

_FARTHEST = 700.0
"""Log ratios beyond are as good as infinite: the functions below are 0 there to 300 digits."""

OF_LOG_RATIO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "overlap": lambda gap: 2 / (1 + np.exp(gap)),
    "affinity": lambda gap: 1 / np.cosh(gap / 2),
    "harmonic": lambda gap: np.cosh(gap / 2) ** -2,
}
"""Functions of ``|log p/q|`` in [0, 1] whose mean under ``(p + q) / 2`` is ``int min(p, q)``,
``int sqrt(p q)`` and ``int 2 p q / (p + q)``."""


def mixture_mean(
    pair: ContinuousPair,
    quantity: str,
    rng: np.random.Generator,
    draws: int,
    error_rate: float,
) -> tuple[float, float]:
    """Mean of a function of `OF_LOG_RATIO` under ``(p + q) / 2``, and the half-width around it.

    Half of the draws come from each density; the interval is the empirical Bernstein one, missed
    with probability at most ``error_rate`` at any number of draws.

    Raises:
        InputError: fewer than 4 draws, or an error rate outside (0, 1).

    Reference: maurer2009empirical.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian(0.0), Gaussian(1.0))
    >>> mean, width = mixture_mean(pair, "overlap", np.random.default_rng(0), 1 << 16, 1e-3)
    >>> abs(mean - 0.617075) < width < 0.01
    True
    """
    if not 0 < error_rate < 1 or draws < 4:
        raise InputError(
            f"`draws` is {draws} and `error_rate` {error_rate}; expected at least 4 draws and a "
            "rate in (0, 1)"
        )
    half = draws // 2
    bounded = OF_LOG_RATIO[quantity]
    values = 0.5 * sum(
        bounded(np.minimum(np.abs(pair.log_ratio(density.sample(half, rng))), _FARTHEST))
        for density in (pair.target, pair.draft)
    )
    log_term = math.log(4 / error_rate)
    spread = math.sqrt(2 * float(np.var(values, ddof=1)) * log_term / half)
    return float(np.mean(values)), spread + 7 * log_term / (3 * (half - 1))
