"""measure_rates: the three ways agree with each other, and threads do not change a number."""

from __future__ import annotations

import numpy as np
import pytest

from spectheory.audit import rates as module
from spectheory.audit.enumeration import enumerate_rule
from spectheory.audit.rates import measure_rates
from spectheory.drafting.scheme import scheme
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
