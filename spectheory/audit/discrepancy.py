"""What a test of two laws found: how far apart, how sure, and what it could have missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spectheory.audit.chi_square_mixture import mixture_quantile, mixture_tail
from spectheory.errors import InputError, ShapeError


@dataclass(frozen=True)
class Discrepancy:
    """Evidence on whether two laws differ, in the unit of one distance.

    Attributes:
        test: which test, and on what.
        distance: the distance measured, in ``unit``; sampling noise is part of it.
        unit: what ``distance``, ``smallest`` and ``upper`` measure.
        p_bound: the p-value, or an upper bound on it.
        calibration: "exact" (a theorem at this sample size), "permutation" (exact, and never below
            one over the number of permutations plus one), "anytime" (exact, whenever one looks) or
            "asymptotic" (the law as the number of draws grows).
        draws: draws used from each side.
        alpha: the rate that ``smallest`` and ``upper`` are stated for, and that `biased` compares
            with unless told another.
        smallest: a true distance from here on is rejected at ``alpha`` with probability 0.99; to
            leading order in the draws where the calibration is "anytime" or "asymptotic". None
            where no distance is sure to be seen.
        upper: confidence bound on the true distance, missed with probability at most ``alpha`` at
            this sample size. A pass says this much and no more. None where there is no such bound.
    """

    test: str
    distance: float
    unit: str
    p_bound: float
    calibration: str
    draws: tuple[int, ...]
    alpha: float
    smallest: float | None
    upper: float | None

    @property
    def biased(self) -> bool:
        """Whether equality is rejected at ``alpha``."""
        return self.p_bound <= self.alpha

    def __str__(self) -> str:
        found = (
            f"biased: p <= {self.p_bound:.3g}"
            if self.biased
            else f"no evidence of bias (p <= {self.p_bound:.3g})"
        )
        most = "no bound on the true one"
        if self.upper is not None:
            most = f"at most {self.upper:.3g} (error rate {self.alpha:.3g})"
        parts = [
            f"{self.test}: {found}",
            f"{self.unit} {self.distance:.3g}, {most}",
            f"{' and '.join(map(str, self.draws))} draws, {self.calibration}",
        ]
        if self.smallest is not None:
            parts.append(f"{self.smallest:.3g} would be seen 99 times in 100")
        return "; ".join(parts)


POWER = 0.99
"""Probability with which a distance of ``Discrepancy.smallest`` is seen."""


def strongest(findings: Iterable[Discrepancy]) -> Discrepancy:
    """The finding with the least p-value, paid for by Bonferroni over all of them.

    Each is made at its share of the rate; the rates add up again here.

    >>> one = Discrepancy("a", 0.1, "distance", 0.01, "exact", (9,), 0.05, 0.2, 0.3)
    >>> best = strongest([one, replace(one, test="b", p_bound=0.5)])
    >>> best.p_bound, best.alpha
    (0.02, 0.1)
    """
    found = list(findings)
    best = min(found, key=lambda one: one.p_bound)
    return replace(
        best,
        p_bound=min(1.0, len(found) * best.p_bound),
        alpha=sum(one.alpha for one in found),
    )


def embedding_radius(draws: tuple[int, int], squared_diameter: float, alpha: float) -> float:
    """How far a measured distance of mean embeddings is from the true one, with any two laws.

    ``D sqrt(1/n + 1/m) (sqrt(1/2) + sqrt(log(1/a) / 2))`` where no two features are further apart
    than D: the mean and, by McDiarmid's inequality, the deviation of the norm of the sampling
    error. Each direction is exceeded with probability at most ``alpha``.

    Reference: gretton2012kernel.

    >>> round(embedding_radius((500, 500), 2.0, 1e-3), 3)
    0.229
    """
    spread = squared_diameter * (1 / draws[0] + 1 / draws[1]) / 2
    return float(np.sqrt(spread) * (1 + np.sqrt(-np.log(alpha))))


def quadratic_discrepancy(
    test: str,
    squared: float,
    weights: np.ndarray,
    unit: str,
    draws: tuple[int, int],
    alpha: float,
) -> Discrepancy:
    """The finding of a distance ``d`` with ``n m / (n + m) d^2 -> sum_i w_i Z_i^2`` under the null.

    The weights are the eigenvalues of the features' covariance. ``smallest`` follows from the
    triangle inequality in the feature space: laws as near as that deviate like the null, whose
    quantiles are known. Laws further apart need not, so there is no ``upper``.

    Reference: gretton2012kernel.
    """
    size = draws[0] * draws[1] / (draws[0] + draws[1])
    noise, slack = (np.sqrt(mixture_quantile(weights, a) / size) for a in (alpha, 1 - POWER))
    distance = float(np.sqrt(max(squared, 0.0)))
    return Discrepancy(
        test=test,
        distance=distance,
        unit=unit,
        p_bound=mixture_tail(weights, size * squared),
        calibration="asymptotic",
        draws=draws,
        alpha=alpha,
        smallest=float(noise + slack),
        upper=None,
    )


def check_sample(name: str, values: Any) -> np.ndarray:
    """``values`` as a float64 ``(n, d)`` array; ``(n,)`` becomes ``(n, 1)``.

    Raises:
        ShapeError: not one or two axes, fewer than 10 draws, or no coordinate.
        InputError: NaN or infinite entries.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim == 1:
        sample = sample[:, None]
    if sample.ndim != 2 or sample.shape[0] < 10 or sample.shape[1] == 0:
        raise ShapeError(
            f"`{name}` has shape {np.shape(values)}; expected (n,) or (n, d) with n >= 10 draws. "
            "Images? Flatten them: one draw a row"
        )
    if not np.isfinite(sample).all():
        row = int(np.flatnonzero(~np.isfinite(sample).all(axis=1))[0])
        raise InputError(
            f"`{name}` holds NaN or infinity in draw {row}; a sampler that diverged, or a residual "
            "that gave up?"
        )
    return sample


def check_alpha(alpha: float) -> None:
    """Refuse a false-alarm rate outside (0, 1).

    Raises:
        InputError: as said.
    """
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` is {alpha}; expected a rate in (0, 1)")
