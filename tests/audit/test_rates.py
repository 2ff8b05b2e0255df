"""measure_rates: all ways agree with each other, and threads do not change a number."""

from __future__ import annotations

import numpy as np
import pytest

from spectheory.audit import rates as module
from spectheory.audit.enumeration import enumerate_rule
from spectheory.audit.rates import measure_rates
from spectheory.drafting.scheme import scheme
from spectheory.verification.optimal_mixture import OptimalMixture
from spectheory.verification.rule import rule

RNG = np.random.default_rng(3)
TARGET, DRAFT = RNG.dirichlet(np.full(6, 0.5), 12), RNG.dirichlet(np.full(6, 0.5), 12)


@pytest.mark.parametrize("threads", [1, 3])
def test_closed_form_is_the_enumeration_in_blocks(threads, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 12)  # two positions a block
    found = measure_rates(rule("naive"), scheme("iid"), TARGET, DRAFT, 3, threads=threads)
    assert found.method == "closed form"
    for i in range(12):
        exact = enumerate_rule(rule("naive"), scheme("iid"), TARGET[i], DRAFT[i], 3)
        assert found.acceptance[i] == pytest.approx(exact.acceptance, abs=1e-12)
        assert found.ladder[i] == pytest.approx(exact.ladder, abs=1e-12)


def test_sampling_estimates_the_enumeration(monkeypatch):
    """Twelve positions within 5.5 standard errors each: false alarm below 1e-6."""
    law = scheme("without_replacement")
    exact = measure_rates(rule("recursive_without_replacement"), law, TARGET, DRAFT, 3)
    assert exact.method == "enumeration"
    assert not exact.error.any()
    monkeypatch.setattr(module, "ENUMERATED", 0)
    sampled = measure_rates(
        rule("recursive_without_replacement"), law, TARGET, DRAFT, 3, draws=4_000, seed=5
    )
    assert sampled.method == "sampling"
    assert np.all(np.abs(sampled.acceptance - exact.acceptance) <= 5.5 * sampled.error + 1e-12)
    again = measure_rates(
        rule("recursive_without_replacement"), law, TARGET, DRAFT, 3, draws=4_000, seed=5, threads=2
    )
    np.testing.assert_array_equal(sampled.acceptance, again.acceptance)


MIXTURES = ("without_replacement", "distinct", "heterogeneous")


def laws_for(key, k):
    """The draft laws, a rotated copy a slot where the scheme wants one law a slot."""
    if key != "heterogeneous":
        return DRAFT
    return np.stack([np.roll(DRAFT, i, axis=0) for i in range(k)], axis=1)


@pytest.mark.parametrize("key", MIXTURES)
def test_one_draft_is_rejection_with_nothing_sampled(key, monkeypatch):
    monkeypatch.setattr(module, "ENUMERATED", 0)
    found = measure_rates(OptimalMixture(key).bounded(), scheme(key), TARGET, laws_for(key, 1), 1)
    rejection = measure_rates(rule("rejection"), scheme("iid"), TARGET, DRAFT, 1)
    assert (found.method, rejection.method) == ("exact ladder", "closed form")
    np.testing.assert_allclose(found.acceptance, rejection.acceptance, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.error, 0, atol=1e-12)


class Unplanned(OptimalMixture):
    """The same rule without its exact ladder."""

    def plan(self, target, draft, k):
        return None

    def _verdict(self, target, draft, drafts):
        return super().plan(target[0], draft[0], drafts.shape[-1]).verdict(drafts)


@pytest.mark.parametrize("key", MIXTURES)
def test_exact_ladder_estimates_the_enumeration(key, monkeypatch):
    """A mixture far from the optimum, so that its residual does hit drafts.

    Twelve positions within 5.5 standard errors each: false alarm below 1e-6.
    """
    law, draft = scheme(key), laws_for(key, 3)
    poor = OptimalMixture(key, most_rounds=1)
    exact = measure_rates(poor, law, TARGET, draft, 3)
    assert exact.method == "enumeration"
    assert np.any(exact.acceptance > exact.ladder + 1e-3)
    monkeypatch.setattr(module, "ENUMERATED", 0)
    found = measure_rates(poor, law, TARGET, draft, 3, draws=2_000, seed=5)
    assert found.method == "exact ladder"
    assert np.all(np.abs(found.acceptance - exact.acceptance) <= 5.5 * found.error + 1e-12)
    np.testing.assert_allclose(found.ladder, exact.ladder, rtol=0, atol=1e-12)


@pytest.mark.parametrize("key", MIXTURES)
def test_exact_ladder_leaves_little_to_sample(key, monkeypatch):
    """Beside the same rule with its ladder sampled, as demo and sweep run it."""
    monkeypatch.setattr(module, "ENUMERATED", 0)
    law, draft = scheme(key), laws_for(key, 3)
    errors = [
        measure_rates(one.bounded(), law, TARGET, draft, 3, draws=200, seed=5).error
        for one in (OptimalMixture(key), Unplanned(key))
    ]
    exact, sampled = (np.sqrt(np.mean(error**2)) for error in errors)
    assert exact < 0.2 * sampled
