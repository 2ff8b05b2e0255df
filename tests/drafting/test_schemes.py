"""Draft schemes where floating point is strained: peaked laws, tiny tails, large vocabularies."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from spectheory.audit.sequential import audit_law
from spectheory.drafting.scheme import exact_prefix_containment, scheme

PEAKED = [
    Fraction(1),
    Fraction(1, 10**6),
    Fraction(1, 10**9),
    Fraction(3, 10**9),
    Fraction(1, 10**12),
]
COLD = [Fraction(1, 10**200), Fraction(1), Fraction(1, 10**174), Fraction(1, 10**178), Fraction(0)]
"""Of a draft at a temperature near 0; products of two of its masses are no floats."""
DISTINCT = ["without_replacement", "distinct", "greedy"]


def exact(weights):
    return np.array([w / sum(weights) for w in weights], dtype=object)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("weights", [PEAKED, COLD])
@pytest.mark.parametrize("key", DISTINCT)
def test_containment_of_a_peaked_draft(key, weights, k):
    draft, law = exact(weights), scheme(key)
    for target in ((3, 1, 4, 1, 5), (1, 5, 1, 1, 1), (1, 0, 9, 9, 1)):  # the peak first and last
        order = law.prefix_order(exact([Fraction(n) for n in target]), draft, k)
        wanted = exact_prefix_containment(law, draft, k, order).astype(float)
        found = law.prefix_containment(draft.astype(float), k, order)
        np.testing.assert_allclose(found, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("key", DISTINCT)
def test_law_of_a_peaked_draft(key, k):
    draft, law = exact(COLD), scheme(key)
    tuples, probability = law.law(draft, k)
    wanted = dict(zip(map(tuple, tuples.tolist()), probability.astype(float), strict=True))
    found = law.law(draft.astype(float), k)
    for drafts, mass in zip(found.tuples.tolist(), found.probability, strict=True):
        assert mass == pytest.approx(wanted[tuple(drafts)], rel=1e-12)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("weights", [PEAKED, COLD])
@pytest.mark.parametrize("key", DISTINCT)
def test_samples_of_a_peaked_draft(key, weights, k):
    """False alarm 1e-6; a bias of 0.05 in the law of the ordered tuple is seen."""
    draft, law = exact(weights), scheme(key)
    tuples, probability = law.law(draft, k)
    tape = np.random.default_rng(k).random((20_000, law.tape_length(k)))
    drawn = law.sample(draft.astype(float)[None], k, tape)
    weights = 5 ** np.arange(k)
    cells = np.zeros(5**k)
    cells[tuples @ weights] = probability.astype(float)
    assert not audit_law(drawn @ weights, cells / cells.sum(), 1e-6).biased


@pytest.mark.parametrize("key", ["iid", *DISTINCT])
def test_large_vocabulary(key):
    rng = np.random.default_rng(0)
    draft = rng.dirichlet(np.full(30_000, 0.05), 4)
    law = scheme(key)
    drafts = law.sample(draft, 8, rng.random((4, law.tape_length(8))))
    assert drafts.shape == (4, 8)
    assert np.all(np.take_along_axis(draft, drafts, axis=1) > 0)
    if law.distinct:
        assert all(len(set(row)) == 8 for row in drafts.tolist())


@pytest.mark.parametrize("key", DISTINCT)
def test_a_law_takes_no_more_memory_than_its_tuples(key):
    draft = np.random.default_rng(0).dirichlet(np.ones(300))
    tracemalloc.start()
    tuples, probability = scheme(key).law(draft, 2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tuples) == (300 * 299 if key != "greedy" else 299)
    assert probability.sum() == pytest.approx(1, abs=1e-12)
    assert most < 150 * 300**2  # bytes: one array of (tuples, tokens) would take 216e6


def test_distinct_drafts_are_exchangeable_and_not_sequential_draws():
    draft = exact([Fraction(6), Fraction(3), Fraction(1)])
    tuples, mass = scheme("distinct").law(draft, 2)
    by_tuple = {tuple(t): m for t, m in zip(tuples.tolist(), mass, strict=True)}
    assert all(by_tuple[b, a] == m for (a, b), m in by_tuple.items())
    _, sequential = scheme("without_replacement").law(draft, 2)
    assert list(sequential) != list(mass)
