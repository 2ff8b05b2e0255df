"""Multiplying the ratio by a factor other than 1 biases the output by a known amount.

Statement: accept with ``min(1, f p / q)`` and redraw from ``(f p - q)_+``. With ``beta = sum
min(q, f p)``, ``m = min(q, f p) / beta`` and ``f - beta > 0``, the output law has

    TV(out, p) = beta |f - 1| / (f - beta) * TV(m, p),

which is 0 only if f = 1 or m = p. If f < 1 and p = q, drafts are rejected and the residual is
empty: the redraw never ends.

Assumptions: V = 3; all p, q and f > 0, zeros and ties included, beta > 0. In continuous speculative
decoding f is the ratio of the models' step variances, and p, q are the laws given the noise.

Machine-checked: the identity for all p, q and f, region by region, on a rule written in the
library's own primitives. On the library's `factor_bias`, which is the closed form for two Gaussians
of one variance: the definitions by
quadrature, on a grid of gaps and factors, to 1e-10, and the empty residual, reported as NaN.

Argued: that densities are the limit of finite laws; tokens named by ascending p / q.

Reference: wang2024continuous for the factor; the formula is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import by_ratio, for_all_laws
from spectheory.arrays import positive_part
from spectheory.continuous.path_bias import FactorBias, factor_bias
from spectheory.distributions import total_variation

GAPS, FACTORS = (0.3, 1.0, 2.5), (0.4, 0.9, 1.0, 1.1, 3.0)


def bias_identity(p: np.ndarray, q: np.ndarray, factor: Quantity) -> None:
    """TV of the output law, from its definition, equals the formula."""
    if not factor > 0:
        return
    kept = np.minimum(q, factor * p)
    beta = sum(kept)
    if not beta > 0:
        return
    redrawn = positive_part(factor * p - q)
    mass = sum(redrawn)
    assert mass == factor - beta, "the residual's mass is not f - beta"
    if mass == 0:
        return
    law = kept + (1 - beta) / mass * redrawn
    off = factor - 1 if factor > 1 else 1 - factor
    bias = total_variation(law, p)
    assert bias == beta * off / mass * total_variation(kept / beta, p), "the bias is another"
    assert (bias == 0) == bool(factor == 1 or all(kept[x] == beta * p[x] for x in range(3)))


def closed_form(formula: Callable[[float, float], FactorBias]) -> None:
    """The Gaussian closed form against quadrature of the definition."""
    for gap in GAPS:
        for factor in FACTORS:
            found, wanted = formula(gap, factor), by_quadrature(gap, factor)
            assert abs(found.acceptance - wanted.acceptance) < 1e-9, (
                f"acceptance at {gap}, {factor}"
            )
            assert abs(found.bias - wanted.bias) < 1e-10, f"bias at {gap}, {factor}"
    assert math.isnan(formula(0.0, 0.5).bias), "an empty residual is not reported"


def by_quadrature(gap: float, factor: float) -> FactorBias:
    """`factor_bias` from the definitions: Gauss-Legendre on pieces without a kink inside."""
    from scipy.optimize import brentq

    def densities(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, q = (np.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (gap, 0.0))
        return p, q

    def integral(values: Callable[[np.ndarray], np.ndarray], edges: list[float]) -> float:
        nodes, weights = np.polynomial.legendre.leggauss(40)
        cuts = np.unique([*np.linspace(-12.0, 16.0, 113), *edges])
        half = np.diff(cuts)[:, None] / 2
        return float((half * weights * values(cuts[:-1, None] + half * (nodes + 1))).sum())

    def kept(x: np.ndarray) -> np.ndarray:
        p, q = densities(x)
        return np.minimum(q, factor * p)

    def redrawn(x: np.ndarray) -> np.ndarray:
        p, q = densities(x)
        return np.maximum(factor * p - q, 0)

    cut = gap / 2 - math.log(factor) / gap
    beta, mass = (integral(part, [cut]) for part in (kept, redrawn))

    def log_ratio(x: float) -> float:
        """Log of the output's density over p, to the left of the cut or right of it."""
        point = np.array(x)
        law = kept(point) + (1 - beta) / mass * redrawn(point)
        return float(np.log(law / densities(point)[0]))

    grid = np.linspace(-11, 15, 521)
    signs = np.sign([round(log_ratio(x), 12) for x in grid])
    kinks = [
        brentq(log_ratio, a, b)
        for a, b, s, t in zip(grid, grid[1:], signs, signs[1:], strict=False)
        if s * t < 0
    ]

    def excess(x: np.ndarray) -> np.ndarray:
        return np.abs(kept(x) + (1 - beta) / mass * redrawn(x) - densities(x)[0]) / 2

    return FactorBias(beta, mass, integral(excess, [cut, *kinks]))


def verify(formula: Callable[[float, float], FactorBias] = factor_bias) -> Checked:
    """Check the statement for the library's closed form, or for one that claims to be it."""
    closed_form(formula)
    regions = for_all_laws(3, bias_identity, extra=("f",), within=by_ratio)
    return Checked(
        f"V = 3: all p, q, f; closed form at {len(GAPS) * len(FACTORS)} Gaussian pairs",
        f"{regions} regions run, z3: no other; quadrature to 1e-10",
    )
