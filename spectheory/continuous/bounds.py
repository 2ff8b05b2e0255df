"""Bounds on the overlap from quantities that are easier to have, in log space.

Products of densities multiply affinities and add divergences, so these bounds go to any dimension;
which of them is tightest depends on the pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from spectheory.continuous.monte_carlo import mixture_mean
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.ratio_law import RatioLaw
from spectheory.errors import InputError, NoRatioLaw


@dataclass(frozen=True)
class Bound:
    """One row of the table.

    Attributes:
        name: whose bound, or of what.
        formula: the bound, BC being ``int sqrt(p q)`` and LC ``1/2 int (p - q)^2 / (p + q)``.
        side: "lower" or "upper".
        log: natural logarithm of the bound; -inf where it says nothing.
        tightest: whether no other of its side is better.
    """

    name: str
    formula: str
    side: str
    log: float
    tightest: bool = False

    @property
    def value(self) -> float:
        """The bound."""
        return math.exp(self.log)


def acceptance_bounds(
    pair: ContinuousPair,
    rng: np.random.Generator | None = None,
    draws: int = 1 << 18,
    error_rate: float = 1e-3,
) -> tuple[Bound, ...]:
    """Every lower and upper bound on the overlap that can be had, the tightest of each side marked.

    Where the law of the ratio is known all are exact. Elsewhere those of affinity and Le Cam
    distance are estimated, and each estimate replaced by the end of its interval that keeps it a
    bound (all hold together but for ``error_rate``); divergences have no such interval.

    Args:
        pair: target and draft.
        rng, draws, error_rate: see `overlap`; read only for the estimates.

    Raises:
        InputError: estimates are needed and no ``rng`` was given.

    Reference: bretagnolle1979estimation; chernoff1952measure.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> for bound in acceptance_bounds(ContinuousPair(Gaussian(0.0), Gaussian(1.0))):
    ...     if bound.tightest:
    ...         print(bound.side, bound.name, round(bound.value, 4))
    lower Le Cam 0.5483
    upper Le Cam 0.7959
    """
    try:
        rows = _from_law(ratio_law(pair))
    except NoRatioLaw:
        if rng is None:
            raise InputError(
                "the law of the likelihood ratio is not known for this pair; pass `rng` for bounds "
                "from estimates"
            ) from None
        rows = _estimated(pair, rng, draws, error_rate)
    best = {
        "lower": max(row.log for row in rows if row.side == "lower"),
        "upper": min(row.log for row in rows if row.side == "upper"),
    }
    return tuple(replace(row, tightest=row.log == best[row.side]) for row in rows)


def _from_law(law: RatioLaw) -> list[Bound]:
    affinity, harmonic = law.log_affinity(0.5), law.log_harmonic()
    least = minimize_scalar(
        law.log_affinity, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9}
    )
    rows = _of_affinity(affinity, affinity) + _of_harmonic(harmonic, harmonic)
    rows.append(Bound("Chernoff", "min over s of int p^s q^(1-s)", "upper", float(least.fun)))
    for name, divergence, log_second in (
        ("p | q", law.divergence(), law.log_affinity(2.0)),
        ("q | p", law.reverse_divergence(), law.log_affinity(-1.0)),
    ):
        rows += [
            Bound(
                f"Pinsker, {name}",
                "1 - sqrt(KL / 2)",
                "lower",
                math.log1p(-math.sqrt(divergence / 2)) if divergence < 2 else -math.inf,
            ),
            Bound(
                f"Bretagnolle-Huber, {name}",
                "1 - sqrt(1 - exp(-KL))",
                "lower",
                _one_minus_root(-divergence),
            ),
            Bound(f"exponential, {name}", "exp(-KL) / 2", "lower", -divergence - math.log(2)),
            Bound(f"chi-square, {name}", CHI_SQUARE, "lower", _of_chi_square(log_second)),
        ]
    return rows


CHI_SQUARE = "1 - sqrt(chi2) / 2, from chi2 = 1 on 1 / (1 + chi2)"


def _estimated(
    pair: ContinuousPair, rng: np.random.Generator, draws: int, error_rate: float
) -> list[Bound]:
    ends = []
    for quantity in ("affinity", "harmonic"):
        mean, width = mixture_mean(pair, quantity, rng, draws, error_rate / 2)
        low, high = max(mean - width, 0.0), min(mean + width, 1.0)
        ends.append((math.log(low) if low > 0 else -math.inf, math.log(high)))
    return _of_affinity(*ends[0]) + _of_harmonic(*ends[1])


def _of_affinity(low: float, high: float) -> list[Bound]:
    """Bounds from an interval for log BC."""
    return [
        Bound("Hellinger", "1 - sqrt(1 - BC^2)", "lower", _one_minus_root(2 * low)),
        Bound("squared affinity", "BC^2 / 2", "lower", 2 * low - math.log(2)),
        Bound("affinity", "BC", "upper", high),
    ]


def _of_harmonic(low: float, high: float) -> list[Bound]:
    """Bounds from an interval for log(1 - LC)."""
    return [
        Bound("Le Cam", "1 - sqrt(LC)", "lower", _one_minus_root(low)),
        Bound("Le Cam", "1 - LC", "upper", high),
    ]


def _of_chi_square(log_second: float) -> float:
    """Log of the bound from ``log(1 + chi^2)``: the joint range of TV and chi-square."""
    if log_second >= math.log(2):
        return -log_second
    return math.log1p(-0.5 * math.sqrt(max(math.expm1(log_second), 0.0)))


def _one_minus_root(log_rest: float) -> float:
    """``log(1 - sqrt(1 - x))`` from log x, as ``x / (1 + sqrt(1 - x))``."""
    log_rest = min(log_rest, 0.0)
    return log_rest - math.log1p(math.sqrt(-math.expm1(log_rest)))
