"""Distributions: closed forms, exactness, and sampling parameters on ties and zeros."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectheory import distributions as d

weights = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(sum)


def law(values):
    return np.array([Fraction(v, sum(values)) for v in values], dtype=object)


def test_a_nucleus_of_float32_is_as_large_as_one_of_float64():
    """5e-6 is added to a float32 sum above 1 / 8 with 0.1 % too much each time."""
    law = np.full(200_000, 5e-6, np.float32)
    kept = int((d.top_p(law, 0.9) > 0).sum())
    assert abs(kept - 180_000) <= 1


@given(weights, weights)
def test_overlap_and_total_variation_add_up_to_one(a, b):
    p, q = law(a), law(b)
    assert d.overlap(p, q) == 1 - d.total_variation(p, q)
    assert d.total_variation(p, q) == sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2


@given(weights, weights)
def test_target_is_the_mixture_of_overlap_and_residual(a, b):
    p, q = law(a), law(b)
    mixture = np.minimum(p, q) + d.total_variation(p, q) * d.residual(p, q)
    assert list(mixture) == list(p)


def test_residual_of_equal_laws_is_the_target():
    p = law([1, 0, 3, 2, 2])
    assert list(d.residual(p, p)) == list(p)


def test_softmax_is_stable_and_matches_its_definition():
    logits = np.array([1000.0, 999.0, -np.inf, 0.0])
    expected = np.array([1.0, np.exp(-1.0), 0.0, 0.0])
    np.testing.assert_allclose(d.from_logits(logits), expected / expected.sum(), rtol=1e-14)


def test_zero_temperature_is_one_hot_at_the_first_mode():
    assert d.from_logits(np.array([1.0, 3.0, 3.0]), 0).tolist() == [0.0, 1.0, 0.0]
    assert d.temper(np.array([0.2, 0.4, 0.4]), 0).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tempering_a_law_is_tempering_its_logits(temperature):
    logits = np.array([0.3, -2.0, 1.1, -np.inf])
    np.testing.assert_allclose(
        d.temper(d.from_logits(logits), temperature),
        d.from_logits(logits, temperature),
        rtol=1e-13,
        atol=0,
    )


def test_top_k_breaks_ties_by_index():
    p = np.array([0.2, 0.3, 0.2, 0.3])
    assert np.flatnonzero(d.top_k(p, 3)).tolist() == [0, 1, 3]
    assert list(d.top_k(law([2, 3, 2, 3, 0]), 1)) == list(law([0, 1, 0, 0, 0]))


@pytest.mark.parametrize(
    ("mass", "kept"), [(0.1, [1]), (0.4, [1]), (0.41, [1, 2]), (0.7, [1, 2]), (0.71, [0, 1, 2])]
)
def test_nucleus_is_the_shortest_prefix_that_reaches_the_mass(mass, kept):
    p = np.array([0.2, 0.4, 0.3, 0.1])
    assert np.flatnonzero(d.top_p(p, mass)).tolist() == kept
    assert d.top_p(p, mass).sum() == pytest.approx(1)


def test_batches_are_rows():
    p = np.array([[0.2, 0.4, 0.3, 0.1], [0.7, 0.1, 0.1, 0.1]])
    for function in (lambda x: d.top_k(x, 2), lambda x: d.top_p(x, 0.6)):
        np.testing.assert_array_equal(function(p), np.stack([function(row) for row in p]))
