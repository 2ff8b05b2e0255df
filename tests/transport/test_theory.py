"""Curves, perfection, and worst ratios of known rules."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.transport.theory import (
    acceptance_curve,
    check_ratio_bound,
    is_perfect,
    ratio_bound,
    worst_ratio,
)
from spectheory.verification.rule import rule
from tests.transport.instances import SCHEMES, fractions, instances, least_bound, zipf_pair


@pytest.mark.parametrize("name", SCHEMES)
def test_curve_equals_enumeration_and_never_falls(name):
    for case in instances(12, seed=61, schemes=(name,), most_tokens=5):
        if (case.draft > 0).sum(axis=-1).min() < 3 or len(case.target) < 3:
            continue
        draft = case.draft
        if name == "heterogeneous":
            draft = np.stack([draft[i % len(draft)] for i in range(3)])
        curve = acceptance_curve(case.target, draft, [1, 2, 3], name)
        for k, value in zip((1, 2, 3), curve, strict=True):
            law = scheme(name).law(draft[:k] if name == "heterogeneous" else draft, k)
            assert value == pytest.approx(least_bound(case.target, *law), abs=1e-9)
        assert np.all(np.diff(curve) >= -1e-12)


def test_curve_is_batched():
    target, draft = zipf_pair(40, 1.0, 1.0, seed=1)
    curve = acceptance_curve(np.stack([target, draft]), draft, [1, 4], "iid")
    assert curve.shape == (2, 2)
    np.testing.assert_allclose(curve[:, 1], 1, rtol=0, atol=1e-12)


def test_perfect_means_every_subset_is_wanted_often_enough():
    seen = set()
    for case in instances(120, seed=62, most_tokens=4):
        target, draft = fractions(case.target, 6), fractions(case.draft, 6)
        law = scheme(case.scheme).law(draft, case.k)
        wanted = True
        for members in itertools.product((False, True), repeat=len(target)):
            alone = sum(
                w
                for row, w in zip(law.tuples.tolist(), law.probability, strict=True)
                if all(members[x] for x in row)
            )
            wanted = wanted and sum(target[list(members)]) >= alone
        assert bool(is_perfect(target, draft, case.k, case.scheme)) == wanted, case
        assert (
            bool(is_perfect(target.astype(float), draft.astype(float), case.k, case.scheme))
            == wanted
        ), case
        seen.add(wanted)
    assert seen == {True, False}


def test_quadratic_ramp_is_perfect_at_every_size():
    """Uniform draft, p_i = (i^2 - (i-1)^2) / V^2: output the largest drafted index."""
    for size in (2, 5, 10):
        target = np.array([Fraction(2 * i - 1, size**2) for i in range(1, size + 1)])
        uniform = np.array([Fraction(1, size)] * size)
        assert is_perfect(target, uniform, 2)
        assert not is_perfect(target, uniform, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "worst"), [("k_seq", 8 / 9), ("recursive", 23 / 27)])
def test_worst_ratios_at_two_drafts(key, worst):
    """Search reproduces the constants; the instance is checked against the enumerated optimum."""
    found = worst_ratio(rule(key).rates, k=2, vocab=2, seed=0, rounds=40, population=24)
    assert found.ratio == pytest.approx(worst, abs=1e-9)
    law = scheme("iid").law(found.draft, 2)
    optimum = least_bound(found.target, *law)
    assert found.optimum == pytest.approx(optimum, abs=1e-12)
    verdict = rule(key).verdict(found.target, found.draft, law.tuples)
    accepted = np.sum(law.probability * verdict.acceptance())
    assert accepted / optimum == pytest.approx(worst, abs=1e-6)
    larger = worst_ratio(rule(key).rates, 2, vocab=3, seed=1, rounds=40, population=24)
    assert larger.ratio >= worst - 1e-9


def test_search_is_repeatable_and_counts():
    first, second = (worst_ratio(rule("recursive").rates, 2, 2, seed=3, rounds=5) for _ in "ab")
    assert first.ratio == second.ratio
    assert np.array_equal(first.target, second.target)
    assert first.evaluated > 64 * 5


@pytest.mark.slow
def test_ratio_bound_of_k_seq_holds_numerically():
    assert ratio_bound(10**6) == pytest.approx(1 - np.exp(-1), abs=1e-6)
    for k in (2, 3):
        found, holds = check_ratio_bound(
            rule("k_seq").rates, k, vocab=3, seed=0, rounds=30, population=24
        )
        assert holds
        assert found.ratio > ratio_bound(k) + 0.05  # far from tight


def test_bad_input_is_named():
    with pytest.raises(InputError, match="at least 2 tokens"):
        worst_ratio(rule("k_seq").rates, 2, vocab=1, seed=0)
    with pytest.raises(InputError, match="one draft law"):
        worst_ratio(rule("recursive").rates, 2, vocab=3, seed=0, scheme="heterogeneous")
    with pytest.raises(InputError, match="`k` is 0"):
        ratio_bound(0)
