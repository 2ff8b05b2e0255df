"""Every theorem holds, says what is checked and what is argued, and fails for a wrong rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import proofs
from proofs import theorems
from proofs._laws import optimum
from spectheory.arrays import Array
from spectheory.continuous.path_bias import factor_bias
from spectheory.cost.speedup import expected_tokens
from spectheory.distributions import normalise, residual
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.transport.score_kernel import score_kernel_plan
from spectheory.verdict import Verdict
from spectheory.verification.block import block_verification
from spectheory.verification.greedy_optimal import GreedyOptimal
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.grouped_redraw import GroupedRedraw
from spectheory.verification.k_seq import KSeq
from spectheory.verification.lantern import Lantern
from spectheory.verification.rule import Rates, rules
from spectheory.verification.token_groups import Neighbourhoods
from spectheory.verification.typical import Typical
from tests.biased_rules import (
    BIASED,
    AcceptanceOverstated,
    AcceptsSlightlyTooMuch,
    AcceptUniformReused,
    RatioInverted,
    ResidualIsTarget,
)

PARTS = ("Statement:", "Assumptions:", "Machine-checked:", "Argued:")
SLOW = {
    "every_rule_keeps_its_law",
    "k_seq_is_lossless",
    "mixtures_of_orders_are_lossless",
    "optimal_score_kernel",
}


@pytest.mark.parametrize("name", theorems())
def test_theorem_says_what_is_checked_and_what_is_argued(name):
    assert all(part in theorems()[name].__doc__ for part in PARTS)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in theorems()]
)
def test_theorem(name):
    checked = theorems()[name].verify()
    assert checked.what
    assert checked.how


def test_every_lossless_rule_has_a_case_of_each_number_of_drafts_that_it_serves():
    laws = theorems()["every_rule_keeps_its_law"]
    lossless = {key: rule for key, rule in rules().items() if rule.lossless}
    assert laws.ELSEWHERE.keys() <= lossless.keys()
    assert set(laws.ELSEWHERE.values()) <= theorems().keys()
    proved = {(rule.key, key, k) for rule, key, k in laws.cases(lossless.values())}
    for name in lossless.keys() - laws.ELSEWHERE.keys():
        rule = lossless[name]
        wanted = {(name, key, k) for key in rule.schemes for k in (2, 3) if rule.serves(key, k)}
        missing = wanted - proved
        assert {(name, key) for name, key, _ in missing} <= set(laws.LEFT_OUT)
        assert wanted != missing or not wanted, f"{name} has no case with several drafts"


def test_sizes_are_three_tokens_for_two_drafts_and_two_for_three():
    laws = theorems()["every_rule_keeps_its_law"]
    rule = rules()["recursive"]
    assert [laws.tokens(rule, "iid", k) for k in (1, 2, 3)] == [3, 3, 2]


LAW_IS_RIGHT = (AcceptUniformReused, AcceptanceOverstated)
"""Right in the law of the verdict: wrong in the tape, or in a closed form."""


@pytest.mark.parametrize(
    "rule", [r for r in BIASED if not isinstance(r, (*LAW_IS_RIGHT, KSeq))], ids=repr
)
def test_no_biased_rule_passes_the_proof_of_its_law(rule):
    with pytest.raises(AssertionError, match="output law differs from the declared one"):
        theorems()["every_rule_keeps_its_law"].verify([rule])


@dataclass(frozen=True)
class TypicalFallsBackOnTheDraft(Typical):
    """The draft is drawn again where none is accepted."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        return Verdict(drafts, right.accept, target * 0 + draft)


def test_a_rule_derived_from_typical_is_proved_itself():
    with pytest.raises(AssertionError, match="output law differs from the declared one"):
        theorems()["every_rule_keeps_its_law"].verify([TypicalFallsBackOnTheDraft()])


def test_intervals_that_hold_the_bound_prove_nothing(monkeypatch):
    theorem = theorems()["total_correlation_bounds_parallel_drafting"]
    theorem.in_intervals()

    def wide(value):
        from mpmath import iv

        return iv.mpf([float(value) * 0.8, float(value) * 1.2])

    monkeypatch.setattr(theorem, "_interval", wide)
    with pytest.raises(AssertionError, match="the bound fails"):
        theorem.in_intervals()


@pytest.mark.parametrize("rule", [RatioInverted(), ResidualIsTarget()])
def test_rejection_made_wrong(rule):
    with pytest.raises(AssertionError, match="output law differs"):
        theorems()["rejection_is_lossless"].verify(rule)


@dataclass(frozen=True)
class ResidualForgetsTheLadder(KSeq):
    """The residual is (p - min(p / rho, q))_+, without the factor of the ladder."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        clipped = np.minimum(target / self.rho, draft)
        return Verdict(drafts, right.accept, normalise(target - clipped, fallback=target))


@dataclass(frozen=True)
class AcceptsAFifthLess(KSeq):
    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        right = super()._rates(target, draft, k, scheme)
        return Rates(right.acceptance * Fraction(4, 5), right.ladder * Fraction(4, 5))


@dataclass(frozen=True)
class FixedTokensNotCounted(GreedyOptimal):
    """The closed form leaves out the mass of the fixed tokens for k = 2."""

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        right = super()._rates(target, draft, k, scheme)
        top = target[..., 0] if k == 2 else target[..., 0] * 0
        return Rates(right.acceptance - top, right.ladder - top)


@dataclass(frozen=True)
class TokenResidual(GroupedKeep):
    def residual(self, target: Array, draft: Array) -> Array:
        return residual(target, draft)


@dataclass(frozen=True)
class RedrawsFromTheDraft(GroupedRedraw):
    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        return Verdict(drafts, right.accept, draft + right.residual * 0)


@dataclass(frozen=True)
class BaseAndTargetSwapped(PriorityMixture):
    @property
    def residual(self) -> Array:
        return residual(self.base, self.target)


def whole_path_never_kept(target: Array, draft: Array, path: Array):
    """Block verification that keeps nothing where it should keep the whole path."""
    right = block_verification(target, draft, path)
    moved = np.concatenate(
        [right.kept[:1] + right.kept[-1:], right.kept[1:-1], right.kept[-1:] * 0]
    )
    return right._replace(kept=moved)


def one_draft_more(p, q, k, key):
    return optimum(p, q, k + 1 if key == "iid" else k, key)


def falls_with_k(p, q, k, key):
    return -optimum(p, q, k, key)


def not_optimal(target, draft, k):
    """A plan for a draft that is not the one at hand."""
    return score_kernel_plan(target, (draft + 1 / 3) / 2, k)


def borrows_nothing(size):
    return Lantern(delta=0, neighbours=Neighbourhoods(1))


def wrong_factor(gap, factor):
    right = factor_bias(gap, factor)
    return right._replace(bias=right.bias * (1 + 1e-6))


def forgets_the_bonus(rates):
    return expected_tokens(rates) - 1


MUTANTS: dict[str, list[Callable[[Callable], object]]] = {
    "block_verification_is_optimal": [lambda verify: verify(whole_path_never_kept)],
    "expected_tokens_formula": [
        lambda verify: verify(RatioInverted()),
        lambda verify: verify(tokens=forgets_the_bonus),
    ],
    "greedy_drafts_optimum": [lambda verify: verify([FixedTokensNotCounted()])],
    "group_residual_is_exact_on_groups": [
        lambda verify: verify(keep=TokenResidual()),
        lambda verify: verify(redraw=RedrawsFromTheDraft()),
    ],
    "k_seq_is_lossless": [lambda verify: verify(ResidualForgetsTheLadder)],
    "k_seq_reaches_its_share": [lambda verify: verify(AcceptsAFifthLess)],
    "lantern_delta_bounds_no_bias": [lambda verify: verify(borrows_nothing)],
    "mixtures_of_orders_are_lossless": [lambda verify: verify(BaseAndTargetSwapped)],
    "more_drafts_never_hurt": [lambda verify: verify(falls_with_k)],
    "optimal_score_kernel": [
        lambda verify: verify(value=one_draft_more),
        lambda verify: verify(value=optimum, make_plan=not_optimal),
    ],
    "prefix_attains_the_dual": [lambda verify: verify(one_draft_more)],
    "shared_noise_is_lossless": [lambda verify: verify(AcceptsSlightlyTooMuch())],
    "total_correlation_bounds_parallel_drafting": [lambda verify: verify(RatioInverted())],
    "variance_factor_is_biased": [lambda verify: verify(wrong_factor)],
    "without_replacement_beats_independent": [lambda verify: verify(one_draft_more)],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, made in MUTANTS.items() for i in range(len(made))]
)
def test_proof_of_a_wrong_rule_fails(name, number):
    with pytest.raises(AssertionError) as failure:
        MUTANTS[name][number](theorems()[name].verify)
    assert "z3" not in str(failure.value)  # refuted, not undecided
    assert "no rational point" not in str(failure.value)


def test_every_theorem_has_a_wrong_rule_that_it_refutes():
    assert theorems().keys() - MUTANTS.keys() == {
        "every_rule_keeps_its_law",
        "rejection_is_lossless",
    }


def test_table_of_proofs(capsys):
    from proofs.__main__ import main

    assert main(["lantern_delta_bounds_no_bias"]) == 0
    shown = capsys.readouterr().out
    assert "exact output laws" in shown
    assert "1 proved, 0 failed" in shown
    assert main(["no_such_theorem"]) == 2


def test_a_failed_proof_is_reported(capsys, monkeypatch):
    from proofs.__main__ import main

    def fail():
        raise AssertionError("sign flipped")

    monkeypatch.setattr(proofs.lantern_delta_bounds_no_bias, "verify", fail)
    assert main(["lantern_delta_bounds_no_bias"]) == 1
    assert "FAILED: sign flipped" in capsys.readouterr().out
