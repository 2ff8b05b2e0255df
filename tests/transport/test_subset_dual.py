"""The sorted-prefix dual and its witness, on every array library that it runs on."""

import array_api_strict
import numpy as np
import pytest

from spectheory.drafting.scheme import scheme
from spectheory.transport.optimal_acceptance import optimal_acceptance
from spectheory.transport.subset_dual import best_prefix, optimal_value
from spectheory.transport.theory import is_perfect
from tests.transport.instances import fractions, instances, least_bound

PREFIX = ("iid", "without_replacement", "distinct", "greedy")


def test_a_prefix_is_as_good_as_any_subset():
    for case in instances(200, seed=21, schemes=PREFIX, most_tokens=5):
        found = best_prefix(case.target, case.draft, case.k, case.scheme)
        law = scheme(case.scheme).law(case.draft, case.k)
        assert found.value == pytest.approx(least_bound(case.target, *law), abs=1e-12), case


def test_exact_prefix_and_exact_witness():
    for case in instances(60, seed=22, schemes=PREFIX, most_tokens=5):
        target, draft = fractions(case.target), fractions(case.draft)
        law = scheme(case.scheme).law(draft, case.k)
        found = best_prefix(target, draft, case.k, case.scheme)
        inside = [all(found.witness[x] for x in row) for row in law.tuples.tolist()]
        contained = sum(w for w, i in zip(law.probability, inside, strict=True) if i)
        assert found.value == least_bound(target, *law)
        assert found.value == 1 + np.sum(target * found.witness) - contained


def test_the_array_api_standard_is_enough():
    target, draft = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    found = best_prefix(array_api_strict.asarray(target), array_api_strict.asarray(draft), 2)
    assert float(found.value) == pytest.approx(0.89, abs=1e-12)
    assert [bool(found.witness[i]) for i in range(3)] == [True, True, False]


def test_no_digits_are_lost_near_one():
    """1 - alpha* = q(H)^k - p(H) with H all but a rare token: known to full relative precision."""
    rare = 1e-9
    target = np.array([1 - 3 * rare, 3 * rare])
    draft = np.array([1 - rare, rare])
    assert 1 - optimal_value(target, draft, 2) == pytest.approx(rare, rel=1e-6)


def test_single_precision_laws_are_summed_in_double():
    rng = np.random.default_rng(0)
    draft = rng.dirichlet(np.full(50_000, 0.3)).astype(np.float32)
    target = rng.dirichlet(np.full(50_000, 0.3)).astype(np.float32)
    double = optimal_value(target.astype(np.float64), draft.astype(np.float64), 4)
    assert optimal_value(target, draft, 4) == double
    p, q = (law.astype(np.float64) for law in (target, draft))
    assert double == pytest.approx(optimal_acceptance(p / p.sum(), q / q.sum(), 4).value, abs=1e-14)
    assert is_perfect(target, target, 2)
