"""Mixtures of priority orders: lossless at every iteration, and close to the optimum soon."""

from fractions import Fraction

import numpy as np
import pytest

from spectheory.drafting.scheme import scheme
from spectheory.errors import (
    DistributionError,
    ImpossibleDraft,
    InputError,
    ShapeError,
    SupportError,
)
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.transport.simplex_fit import fit_weights, nearest_weights
from tests.transport.instances import SCHEMES, fractions, instances, least_bound, zipf_pair


def enumerated(mixture, law):
    """Output law and ladder acceptance of the rule, by enumeration of the drafts."""
    verdict = mixture.verdict(law.tuples)
    output = np.sum(law.probability[:, None] * verdict.law(), axis=0)
    return output, np.sum(law.probability * verdict.ladder())


@pytest.mark.parametrize("most_rounds", [1, 3, 40])
def test_it_is_lossless_however_early_it_stops(most_rounds):
    for case in instances(80, seed=51, most_tokens=5):
        mixture = PriorityMixture.solve(
            case.target, case.draft, case.k, case.scheme, most_rounds=most_rounds
        )
        law = scheme(case.scheme).law(case.draft, case.k)
        output, ladder = enumerated(mixture, law)
        np.testing.assert_allclose(output, case.target, rtol=0, atol=1e-12, err_msg=str(case))
        assert ladder == pytest.approx(mixture.value, abs=1e-12)
        assert mixture.weights.sum() == pytest.approx(1, abs=1e-12)
        optimum = least_bound(case.target, *law)
        assert mixture.value <= optimum + 1e-12
        assert mixture.bound == pytest.approx(optimum, abs=1e-9)


def test_it_reaches_the_optimum_on_small_vocabularies():
    for case in instances(80, seed=52, most_tokens=5):
        mixture = PriorityMixture.solve(case.target, case.draft, case.k, case.scheme)
        assert mixture.gap <= 1e-6, case


@pytest.mark.parametrize("name", SCHEMES)
def test_on_fractions_it_is_exactly_lossless(name):
    for case in instances(8, seed=53, schemes=(name,), most_tokens=4):
        target, draft = fractions(case.target), fractions(case.draft)
        mixture = PriorityMixture.solve(target, draft, case.k, name, most_rounds=12)
        law = scheme(name).law(draft, case.k)
        output, ladder = enumerated(mixture, law)
        assert np.all(output == target)
        assert ladder == mixture.value
        assert sum(mixture.weights) == 1
        assert mixture.value <= least_bound(target, *law)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("noise", [0.7, 1.5])
def test_gap_without_replacement_at_four_thousand_tokens(temperature, noise):
    target, draft = zipf_pair(4000, noise, temperature, seed=0)
    mixture = PriorityMixture.solve(target, draft, 4, gap=1e-4, most_rounds=100)
    assert 0 <= mixture.gap <= 1e-4
    assert len(mixture.weights) <= 60


def test_heterogeneous_gap_at_many_tokens():
    target, draft = zipf_pair(4000, 1.0, 1.0, seed=4, slots=2)
    mixture = PriorityMixture.solve(target, draft, 2, "heterogeneous", gap=1e-3)
    assert mixture.gap <= 1e-3


def test_stops_on_its_budget_and_keeps_the_best():
    target, draft = zipf_pair(2000, 1.0, 0.6, seed=5)
    gaps = [
        PriorityMixture.solve(target, draft, 4, gap=0, most_rounds=n).gap for n in (1, 4, 16, 48)
    ]
    assert gaps == sorted(gaps, reverse=True)
    hurried = PriorityMixture.solve(target, draft, 4, gap=0, seconds=1e-9)
    assert len(hurried.weights) == 1


def test_acceptance_carries_the_evidence():
    target, draft = zipf_pair(300, 1.0, 1.0, seed=6)
    mixture = PriorityMixture.solve(target, draft, 2, gap=1e-9, most_rounds=200)
    found = mixture.acceptance()
    assert found.primal == pytest.approx(np.minimum(found.base, target).sum(), abs=1e-15)
    assert found.dual == mixture.bound
    assert found.certified == (found.gap <= 1e-9)
    assert found.plan is mixture


def test_perfect_match_leaves_an_unused_residual():
    q = np.array([0.5, 0.3, 0.2])
    mixture = PriorityMixture.solve(q, q, 1)
    assert mixture.value == 1
    assert mixture.residual.sum() == pytest.approx(1)
    verdict = mixture.verdict(np.array([2]))
    assert verdict.accept.tolist() == [1.0]


def test_verdict_batches_and_takes_a_repeat_through_its_first_slot():
    q = np.array([0.5, 0.3, 0.2])
    mixture = PriorityMixture.solve(np.array([0.2, 0.3, 0.5]), q, 3, "iid")
    verdict = mixture.verdict(np.array([[[0, 0, 0], [0, 1, 1]]]))
    assert verdict.accept.shape == (1, 2, 3)
    assert np.all(verdict.masses()[0, 0, 1:3] == 0)
    assert verdict.masses()[0, 1, 2] == 0


def test_bad_input_is_named():
    q = np.array([0.5, 0.3, 0.2])
    with pytest.raises(ShapeError, match="one position"):
        PriorityMixture.solve(np.stack([q, q]), q, 2)
    for budget in ({"most_rounds": 0}, {"seconds": 0.0}, {"gap": -1.0}):
        with pytest.raises(InputError, match="at least one round"):
            PriorityMixture.solve(q, q, 2, **budget)
    with pytest.raises(SupportError):
        PriorityMixture.solve(q, np.array([0.5, 0.5, 0.0]), 3)
    with pytest.raises(DistributionError, match="permutation"):
        PriorityMixture.of(q, q, 2, "iid", np.array([[0, 0, 1]]), np.ones(1))
    with pytest.raises(DistributionError, match="weights"):
        PriorityMixture.of(q, q, 2, "iid", np.array([[0, 1, 2]]), np.array([0.5]))
    two, slots = np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.9, 0.1]])
    for target, draft, k, kind, reason in (
        (two, np.array([[0.5, 0.0], [0.5, 0.5]]), 2, DistributionError, "draft"),
        (np.array([0.5, np.nan]), slots, 2, DistributionError, "target"),
        (two, slots, 3, ShapeError, "3"),
    ):
        with pytest.raises(kind, match=reason):
            PriorityMixture.of(target, draft, k, "heterogeneous", np.array([[0, 1]]), np.ones(1))
    with pytest.raises(ImpossibleDraft, match="tokens 0 to 2"):
        PriorityMixture.solve(q, q, 2).verdict(np.array([0, 3]))


def test_given_orders_on_fractions():
    half = np.array([Fraction(1, 2)] * 2)
    both = PriorityMixture.of(
        half, half, 2, "iid", np.array([[0, 1], [1, 0]]), np.array([Fraction(1, 2)] * 2)
    )
    assert both.base.tolist() == [Fraction(1, 2)] * 2
    assert both.gap == 0


def test_nearest_point_of_a_hull():
    rng = np.random.default_rng(0)
    for count, width in ((3, 2), (4, 9), (5, 1)):
        for _ in range(20):
            points = rng.normal(size=(count, width)) + 0.5
            weights = nearest_weights(points)
            near = weights @ points
            assert weights.min() >= 0
            assert weights.sum() == pytest.approx(1, abs=1e-12)
            # The variational inequality: every vertex lies beyond the plane through the point.
            assert np.all(points @ near >= near @ near - 1e-9)


def test_fit_never_worsens_its_start():
    rng = np.random.default_rng(1)
    for _ in range(50):
        bases, target = rng.dirichlet(np.full(8, 0.2), size=4), rng.dirichlet(np.full(8, 0.2))

        def shortfall(weights, bases=bases, target=target):
            return np.sum(np.maximum(target - weights @ bases, 0) ** 2 / target)

        start = rng.dirichlet(np.ones(4))
        fitted = fit_weights(bases, target, start)
        assert shortfall(fitted) <= shortfall(start) * (1 + 1e-9)
        for other in rng.dirichlet(np.full(4, 0.5), size=40):
            assert shortfall(fitted) <= shortfall(other) + 1e-9
