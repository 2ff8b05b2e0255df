"""Every theorem holds, says what is checked and what is argued, and fails for a wrong rule."""

from __future__ import annotations

import pytest

from proofs import rejection_is_lossless, theorems
from tests.biased_rules import RatioInverted, ResidualIsTarget


@pytest.mark.parametrize("name", theorems())
def test_theorem(name):
    theorem = theorems()[name]
    for part in ("Statement:", "Assumptions:", "Machine-checked:", "Argued:"):
        assert part in theorem.__doc__
    theorem.verify()


@pytest.mark.parametrize("rule", [RatioInverted(), ResidualIsTarget()])
def test_proof_of_a_wrong_rule_fails(rule):
    with pytest.raises(AssertionError, match="output law differs"):
        rejection_is_lossless.verify(rule)
