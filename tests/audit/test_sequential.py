"""The e-process: false alarms stay below the declared rate, and it sees what it says it sees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from spectheory.audit.sequential import audit_law, smallest_bias

LAW = np.array([0.4, 0.3, 0.2, 0.1])


def test_false_alarms_stay_below_the_declared_rate():
    """2,000 runs with 50 looks each; the test itself alarms falsely with probability 1e-6."""
    alpha, runs = 0.05, 2_000
    rng = np.random.default_rng(0)
    alarms = sum(
        audit_law(rng.choice(4, 500, p=LAW), LAW, alpha, looks=50).biased for _ in range(runs)
    )
    assert alarms <= binom.ppf(1 - 1e-6, runs, alpha)


def test_a_bias_half_above_the_smallest_is_seen_almost_always():
    draws, alpha = 20_000, 1e-6
    bias = 1.5 * smallest_bias(4, draws, alpha)
    shifted = LAW + bias * np.array([1, -1, 0, 0])
    rng = np.random.default_rng(1)
    seen = sum(audit_law(rng.choice(4, draws, p=shifted), LAW, alpha).biased for _ in range(40))
    assert seen >= 38


def test_a_token_of_probability_zero_is_proof():
    law = np.array([0.5, 0.5, 0.0])
    evidence = audit_law(np.array([0, 1, 0, 2]), law, 1e-6)
    assert evidence.impossible == 1
    assert evidence.biased


@pytest.mark.parametrize("tokens", [np.array([], dtype=int), np.array([4]), np.array([-1])])
def test_tokens_outside_the_vocabulary_are_refused(tokens):
    with pytest.raises(ValueError, match="`tokens`"):
        audit_law(tokens, LAW, 0.01)
