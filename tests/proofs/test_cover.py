"""The engine of the proofs: it meets every region, and every failure."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from proofs._cover import Counterexample, Domain, cover
from proofs._laws import for_all_laws


def unit(names="x"):
    domain = Domain(names.split())
    domain.at_least_zero(*(v for v in domain.variables()), *(1 - v for v in domain.variables()))
    return domain


def test_regions_of_a_maximum():
    seen = set()

    def program(variables):
        x, y = variables
        seen.add(str(max(x, y)))
        assert max(x, y) >= x
        assert max(x, y) + min(x, y) == x + y

    assert cover(unit("x y"), program) == 3  # above, below, tie
    assert seen == {"x", "y"}


def test_an_identity_is_no_branch():
    def program(variables):
        x, y = variables
        assert (x + y) ** 2 == x**2 + 2 * x * y + y**2
        assert (x**2 - y**2) / (x + y + 1) * (x + y + 1) == (x - y) * (x + y)

    assert cover(unit("x y"), program) == 1


@pytest.mark.parametrize("width", [Fraction(1, 10), Fraction(1, 10**6), Fraction(1, 10**9)])
def test_a_failure_on_a_narrow_region_is_met(width):
    def program(variables):
        (x,) = variables
        assert not (x > Fraction(1, 3) and x < Fraction(1, 3) + width), "inside"

    with pytest.raises(Counterexample, match=r"(?s)inside.*\(at x = "):
        cover(unit(), program)


def test_a_failure_at_one_point_is_met():
    def program(variables):
        (x,) = variables
        assert x != Fraction(1, 7), "the point"

    with pytest.raises(Counterexample, match="at x = 1/7"):
        cover(unit(), program)
    assert cover(unit(), program, continuous=True) == 1  # a boundary: not run


def test_an_unequal_identity_is_refuted_although_it_holds_somewhere():
    def program(variables):
        (x,) = variables
        assert x**2 == x, "not an identity"

    with pytest.raises(Counterexample, match="not an identity"):
        cover(unit(), program)


def test_division_by_zero_is_met():
    def program(variables):
        x, y = variables
        assert 1 / (x - y) != 0

    with pytest.raises(Counterexample, match="/ 0"):
        cover(unit("x y"), program)


def test_a_domain_without_points_is_no_proof():
    domain = unit()
    (x,) = domain.variables()
    domain.assume(x - 2)
    with pytest.raises(AssertionError, match="no point satisfies the assumptions"):
        cover(domain, lambda variables: None)


def test_regions_cover_the_laws():
    """Random exact laws all satisfy the conditions of exactly one region that was run."""
    paths = []

    def program(p, q):
        np.minimum(p, q)
        paths.append(list(p[0].domain.path))

    assert for_all_laws(3, program) == len(paths)
    rng = np.random.default_rng(0)
    for _ in range(200):
        point = []
        for weights in rng.integers(0, 4, (2, 3)):
            weights[rng.integers(3)] += 1
            point += [Fraction(int(w), int(weights.sum())) for w in weights[:2]]
        holding = 0
        for path in paths:
            truth = []
            for polynomial, kind, holds in path:
                value = polynomial.evaluate(list(zip(polynomial.ring.gens, point, strict=True)))
                truth.append((value > 0 if kind == ">" else value == 0) is holds)
            holding += all(truth)
        assert holding == 1
