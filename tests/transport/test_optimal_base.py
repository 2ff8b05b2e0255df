"""The hull base: feasible, optimal, and the closest to the target in every divergence."""

import itertools

import numpy as np
import pytest

from spectheory.drafting.scheme import scheme
from spectheory.errors import SchemeMismatch
from spectheory.transport.optimal_base import optimal_base
from spectheory.transport.order_base import base_of_order, order_base
from tests.transport.instances import (
    SCHEMES,
    coverage,
    fractions,
    instances,
    least_bound,
    zipf_pair,
)

PREFIX = ("iid", "without_replacement", "distinct", "greedy")


def random_base(law, size, rng):
    """A point of B(f): a random split of each draft tuple's mass among its tokens."""
    base = np.zeros(size)
    for row, mass in zip(law.tuples.tolist(), law.probability, strict=True):
        np.add.at(base, row, mass * rng.dirichlet(np.full(len(row), 0.3)))
    return base


def test_it_is_a_base_and_attains_the_optimum():
    for case in instances(240, seed=31, schemes=PREFIX, most_tokens=5):
        law = scheme(case.scheme).law(case.draft, case.k)
        base = optimal_base(case.target, case.draft, case.k, case.scheme)
        assert base.sum() == pytest.approx(1, abs=1e-12)
        for members in itertools.product((False, True), repeat=len(base)):
            inside = base[list(members)].sum()
            assert inside <= coverage(members, *law) + 1e-12, (case, members)
        attained = np.minimum(base, case.target).sum()
        assert attained == pytest.approx(least_bound(case.target, *law), abs=1e-12), case


def test_it_is_exact_on_fractions():
    for case in instances(60, seed=32, schemes=PREFIX, most_tokens=5):
        target, draft = fractions(case.target), fractions(case.draft)
        law = scheme(case.scheme).law(draft, case.k)
        base = optimal_base(target, draft, case.k, case.scheme)
        assert base.sum() == 1
        assert np.minimum(base, target).sum() == least_bound(target, *law)
        for members in itertools.product((False, True), repeat=len(base)):
            assert sum(base[list(members)]) <= coverage(members, *law)


def test_no_feasible_direction_lowers_any_divergence():
    divergences = {
        "total variation": lambda r: np.abs(r - 1),
        "reverse KL": lambda r: r * np.log(np.maximum(r, 1e-300)),
        "chi-square": lambda r: (r - 1) ** 2,
        "Hellinger": lambda r: (np.sqrt(r) - 1) ** 2,
    }
    rng = np.random.default_rng(33)
    for case in instances(80, seed=33, schemes=PREFIX, most_tokens=5):
        if np.any(case.target <= 0):  # a divergence may be infinite there whatever the base
            continue
        law = scheme(case.scheme).law(case.draft, case.k)
        base = optimal_base(case.target, case.draft, case.k, case.scheme)
        for _ in range(20):
            other = random_base(law, len(base), rng)
            for step in (1.0, 0.1, 1e-3):
                moved = (1 - step) * base + step * other
                for name, f in divergences.items():
                    here, there = (np.sum(case.target * f(b / case.target)) for b in (base, moved))
                    assert here <= there + 1e-12, (name, case)


def test_tokens_without_mass():
    base = optimal_base(np.array([0.0, 0.5, 0.5]), np.array([0.5, 0.5, 0.0]), 2)
    assert base.tolist() == pytest.approx([0.25, 0.75, 0.0], abs=1e-15)
    apart = optimal_base(np.array([0.0, 1.0]), np.array([1.0, 0.0]), 3)
    assert apart.tolist() == [1.0, 0.0]


def test_subnormal_target_mass_does_not_overflow():
    target = np.array([1e-320, 0.5, 0.5])
    base = optimal_base(target, np.array([0.4, 0.3, 0.3]), 2)
    assert np.all(np.isfinite(base))
    assert base.sum() == pytest.approx(1, abs=1e-12)


def test_batch():
    target, draft = zipf_pair(50, 1.0, 1.0, seed=1)
    other, second = zipf_pair(50, 1.0, 1.0, seed=2)
    both = optimal_base(np.stack([target, other]), np.stack([draft, second]), 3)
    assert np.array_equal(both[1], optimal_base(other, second, 3))


def test_heterogeneous_drafts_are_refused():
    with pytest.raises(SchemeMismatch, match="PriorityMixture"):
        optimal_base(np.ones(2) / 2, np.ones((2, 2)) / 2, 2, "heterogeneous")


def highest_ranked(law, order):
    """Law of the highest-ranked draft, by enumeration."""
    rank = np.argsort(order)
    base = [law.probability[0] * 0] * len(order)
    for row, mass in zip(law.tuples.tolist(), law.probability, strict=True):
        top = max(row, key=lambda token: rank[token])
        base[top] = base[top] + mass
    return np.array(base)


def test_base_of_any_order_by_enumeration():
    rng = np.random.default_rng(34)
    for case in instances(160, seed=34, most_tokens=5):
        rule = scheme(case.scheme)
        order = rng.permutation(len(case.target))
        truth = highest_ranked(rule.law(case.draft, case.k), order)
        ranked = order_base(rule, case.draft, case.k, order)
        np.testing.assert_allclose(ranked, truth[order], rtol=0, atol=1e-13)
        by_token = base_of_order(rule, case.draft, case.k)(order)
        np.testing.assert_allclose(by_token, truth, rtol=0, atol=1e-13)
        draft = fractions(case.draft)
        truth = highest_ranked(rule.law(draft, case.k), order)
        assert np.all(base_of_order(rule, draft, case.k)(order) == truth)


@pytest.mark.parametrize("name", SCHEMES)
def test_bases_at_many_tokens_are_laws(name):
    _, draft = zipf_pair(5000, 1.0, 0.8, seed=3, slots=4 if name == "heterogeneous" else None)
    base = base_of_order(scheme(name), draft, 4)(np.random.default_rng(0).permutation(5000))
    assert base.min() >= 0
    assert base.sum() == pytest.approx(1, abs=1e-11)
