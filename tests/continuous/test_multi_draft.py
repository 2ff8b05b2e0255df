"""k drafts: the optimum against the transport program, the Gaussian formulas, and fine cells."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from spectheory.continuous.couple_optimal import score_plan
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.gaussian_ratio import GaussianShift, gaussian_ratio
from spectheory.continuous.line_ratio import LineRatio
from spectheory.continuous.mixture import LineMixture
from spectheory.continuous.multi_draft import (
    ladder_k_seq,
    ladder_recursive,
    log_optimal_acceptance,
    optimal_acceptance,
    recursion,
    slow_down,
)
from spectheory.continuous.univariate import laplace, student, uniform
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.transport.iid_value import iid_optimum
from spectheory.transport.linear_program import solve
from spectheory.transport.problem import TransportProblem

GRID = [(delta, k) for delta in (0.5, 1.0, 2.0, 3.0) for k in (2, 4, 8, 64)]


@pytest.mark.parametrize(("delta", "k"), GRID)
def test_gaussian_shift_by_its_own_formulas(delta, k):
    law = GaussianShift(delta)
    # level sets are half-lines
    c = np.linspace(-10, 12, 400_001)
    optimum = 1 - np.max(norm.sf(c - delta) - 1 + norm.cdf(c) ** k)
    assert optimal_acceptance(law, k) == pytest.approx(optimum, abs=2e-9)

    def beta(rho: float) -> float:
        t = math.log(rho) / delta + delta / 2
        return float(norm.sf(t) + norm.cdf(t - delta) / rho)

    rho = brentq(lambda rho: 1 - (1 - beta(rho)) ** k - rho * beta(rho), 1 + 1e-12, k)
    assert slow_down(law, k).rho == pytest.approx(rho, abs=1e-10)
    assert ladder_k_seq(law, k) == pytest.approx(1 - (1 - beta(rho)) ** k, abs=1e-12)

    level, left = 0.0, 1.0
    for _ in range(k):
        level += left
        tau = math.log(level) / delta
        left = norm.sf(tau - delta / 2) - level * norm.sf(tau + delta / 2)
    assert float(recursion(law, k)[1][-1]) == pytest.approx(left, abs=1e-12)


def test_worked_numbers_of_unit_shift_and_four_drafts():
    law = GaussianShift(1.0)
    assert optimal_acceptance(law, 4) == pytest.approx(0.924197, abs=5e-7)
    assert ladder_k_seq(law, 4) == pytest.approx(0.839246, abs=5e-7)
    assert ladder_recursive(law, 4) == pytest.approx(0.797811, abs=5e-7)


def test_recursive_rejection_keeps_acceptances_far_below_rounding():
    delta, k = 50.0, 4
    # Nothing measurable is taken before the last draft, whose level is then k.
    tau = math.log(k) / delta
    wanted = norm.cdf(tau - delta / 2) + k * norm.sf(tau + delta / 2)
    assert 0 < wanted < 1e-130
    assert ladder_recursive(GaussianShift(delta), k) == pytest.approx(wanted, rel=1e-9, abs=0)


@pytest.mark.parametrize("delta", [18.0, 25.0, 37.0])
@pytest.mark.parametrize("k", [2, 8, 16])
def test_k_seq_where_drafts_hardly_ever_stand(delta, k):
    """Then ``1 - (1 - beta)^k = k beta``, so rho is k and the acceptance C(k)."""
    tau = math.log(k) / delta
    wanted = norm.cdf(tau - delta / 2) + k * norm.sf(tau + delta / 2)
    assert slow_down(GaussianShift(delta), k).rho == pytest.approx(k, rel=1e-12)
    assert ladder_k_seq(GaussianShift(delta), k) == pytest.approx(wanted, rel=1e-9, abs=0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [2, 3])
def test_steps_against_the_transport_program(seed, k):
    """Densities that are constant on cells are a discrete problem, solved as a linear program."""
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(5, 0.5), size=2)
    cells = [uniform(i, i + 1) for i in range(5)]
    law = LineRatio(LineMixture(p.tolist(), cells), LineMixture(q.tolist(), cells))
    program = solve(TransportProblem.of(p, scheme("iid").law(q, k)))
    assert optimal_acceptance(law, k) == pytest.approx(float(program.value), abs=1e-8)
    assert score_plan(law, k).acceptance == pytest.approx(float(program.value), abs=1e-5)
    assert score_plan(law, k).acceptance <= float(program.value) + 1e-8


LAWS = {
    "Laplaces": (laplace(0.0, 1.0), laplace(1.0, 1.0)),
    "Students": (student(3.0), student(5.0, 1.0, 2.0)),
    "tails alike": (student(0.2), student(0.2, 0.0, 4.0)),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("k", [2, 5])
def test_against_fine_cells(name, k):
    target, draft = LAWS[name]
    marks = np.unique(np.concatenate([law.landmarks() for law in (target, draft)]))
    edges = np.concatenate([np.linspace(a, b, 60)[:-1] for a, b in pairwise(marks)])
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    p, q = np.diff(target.cdf(edges)), np.diff(draft.cdf(edges))
    cells = float(iid_optimum(p / p.sum(), q / q.sum(), k).value)
    law = LineRatio(target, draft)
    # coarser laws overlap more; here by the square of the cell's share
    assert -1e-10 < cells - optimal_acceptance(law, k) < 2e-5
    assert -1e-5 < score_plan(law, k).acceptance - optimal_acceptance(law, k) < 1e-10


@pytest.mark.parametrize(
    "law",
    [
        GaussianShift(0.7),
        GaussianShift(2.5),
        gaussian_ratio(Gaussian(np.zeros(5)), Gaussian(np.full(5, 0.2), np.linspace(0.6, 1.8, 5))),
    ],
)
@pytest.mark.parametrize("k", [1, 2, 3, 8, 32])
def test_order_of_the_rules(law, k):
    best = optimal_acceptance(law, k)
    attained = score_plan(law, k).acceptance
    assert best - 2e-5 < attained < best + 1e-10
    assert ladder_k_seq(law, k) <= best + 1e-12
    assert 1 - recursion(law, k)[1][-1] <= best + 1e-12
    if k == 1:
        assert best == pytest.approx(float(law.capped(1.0)), abs=1e-14)


def test_tiny_acceptances_as_logarithms():
    """Where drafts hardly ever stand, ``alpha*_k = C(k)`` to all digits."""
    law = GaussianShift(100.0)
    threshold = math.log(4) / 100 + 50
    expected = np.logaddexp(norm.logcdf(threshold - 100), math.log(4) + norm.logsf(threshold))
    assert log_optimal_acceptance(law, 4) == pytest.approx(expected, abs=1e-9)


def test_k_is_checked():
    for k in (0, -1, 2.0, True):
        with pytest.raises(InputError, match="`k` is"):
            optimal_acceptance(GaussianShift(1.0), k)
