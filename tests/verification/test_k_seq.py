"""K-SEQ: the slow-down is a root, and any valid one is lossless."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import brentq

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.k_seq import KSeq

IID = scheme("iid")


def exact(weights):
    return np.array([Fraction(w, sum(weights)) for w in weights], dtype=object)


P, Q = exact([3, 4, 3]), exact([6, 3, 1])


@pytest.mark.parametrize("rho", [Fraction(3, 2), Fraction(17, 10), Fraction(2), 1.5])
def test_any_rho_above_the_root_is_lossless_and_accepts_less(rho):
    chosen = enumerate_rule(KSeq(rho=rho), IID, P, Q, 2)
    best = enumerate_rule(KSeq(), IID, P, Q, 2)
    assert list(chosen.law) == list(P)
    assert chosen.ladder < best.ladder


@pytest.mark.parametrize("k", [2, 3, 8])
def test_bisection_finds_the_root(k):
    rng = np.random.default_rng(k)
    for _ in range(50):
        p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))

        def excess(rho, p=p, q=q):
            beta = np.minimum(p / rho, q).sum()
            return 1 - (1 - beta) ** k - rho * beta

        found = KSeq().slowdown(p[None], q[None], k)[0, 0]
        assert found == pytest.approx(brentq(excess, 1, k, xtol=1e-14), abs=1e-11)


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_acceptance_is_within_the_proved_factor_of_the_optimum(k):
    rng = np.random.default_rng(k)
    p, q = rng.dirichlet(np.full(5, 0.4), 500), rng.dirichlet(np.full(5, 0.4), 500)
    ratio = KSeq().rates(p, q, k).acceptance / optimal_value(p, q, k)
    assert ratio.min() >= 1 - (1 - 1 / k) ** k - 1e-12
    assert ratio.max() <= 1 + 1e-12
