"""Bounds on the overlap: they hold on random pairs, exact or estimated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spectheory.continuous.bounds import acceptance_bounds
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.mixture import Mixture
from spectheory.continuous.overlap import overlap
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import laplace, student
from spectheory.errors import InputError


def random_pair(seed: int) -> ContinuousPair:
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:
        size = int(rng.integers(1, 40))
        return ContinuousPair(
            Gaussian(rng.normal(size=size) * 0.3, rng.uniform(0.5, 2, size)),
            Gaussian(np.zeros(size), rng.uniform(0.5, 2, size)),
        )
    if kind == 1:
        root = rng.normal(size=(3, 3))
        return ContinuousPair(
            Gaussian(rng.normal(size=3), root @ root.T + np.eye(3)), Gaussian(np.zeros(3))
        )
    if kind == 2:
        return ContinuousPair(laplace(*rng.uniform(0.2, 2, 2)), student(*rng.uniform(1, 5, 3)))
    humps = [Gaussian(*rng.uniform(0.1, 2, 2)) for _ in range(3)]
    return ContinuousPair(Mixture([0.2, 0.3, 0.5], humps), Gaussian(0.5, 2.0))


@pytest.mark.parametrize("seed", range(16))
def test_bounds_hold(seed):
    pair = random_pair(seed)
    log = overlap(pair).log
    rows = acceptance_bounds(pair)
    for row in rows:
        if row.side == "lower":
            assert row.log <= log + 1e-9, row
        else:
            assert row.log >= log - 1e-9, row
    for side in ("lower", "upper"):
        marked = [row for row in rows if row.side == side and row.tightest]
        best = max if side == "lower" else min
        assert marked
        assert marked[0].log == best(row.log for row in rows if row.side == side)


def test_values_for_unit_shift():
    """``BC = e^(-1/8)``, ``KL = 1/2``, ``chi^2 = e - 1``."""
    rows = acceptance_bounds(ContinuousPair(Gaussian(1.0), Gaussian(0.0)))
    found = {(row.side, row.name): row.value for row in rows}
    assert found["lower", "Hellinger"] == pytest.approx(1 - math.sqrt(1 - math.exp(-0.25)))
    assert found["lower", "Pinsker, p | q"] == pytest.approx(0.5)
    assert found["lower", "Bretagnolle-Huber, p | q"] == pytest.approx(
        1 - math.sqrt(1 - math.exp(-0.5))
    )
    assert found["lower", "chi-square, p | q"] == pytest.approx(math.exp(-1))
    assert found["upper", "affinity"] == pytest.approx(math.exp(-1 / 8))
    assert found["upper", "Chernoff"] == pytest.approx(math.exp(-1 / 8))
    # E_q r / (1 + r) by Gauss-Hermite
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    ratio = np.exp(nodes - 0.5)
    harmonic = 2 * float(weights @ (ratio / (1 + ratio))) / math.sqrt(2 * math.pi)
    assert found["upper", "Le Cam"] == pytest.approx(harmonic, abs=1e-9)


def test_estimated_bounds_hold_for_a_pair_whose_overlap_is_known_another_way():
    gaussians = Gaussian([0.7, 0.0, 0.0]), Gaussian(np.zeros(3), 1.5)
    exact = overlap(ContinuousPair(*gaussians)).log
    hidden = ContinuousPair(*(Mixture([1.0], [one]) for one in gaussians))
    with pytest.raises(InputError, match="rng"):
        acceptance_bounds(hidden)
    # wrong with probability at most 1e-7
    rows = acceptance_bounds(hidden, np.random.default_rng(0), error_rate=1e-7)
    assert {row.side for row in rows} == {"lower", "upper"}
    for row in rows:
        assert (row.log < exact) == (row.side == "lower")
    assert max(row.value for row in rows if row.side == "lower") > 0.5
