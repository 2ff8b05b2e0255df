"""The exact audit: output law and bias by enumeration, on Fractions or float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.audit.enumeration import enumerate_rule
from spectheory.audit.tape import Tape, output_law
from spectheory.distributions import check_pmf, total_variation
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError
from spectheory.verification.rule import VerificationRule

ROUNDING = 1e-12
"""Bias that float64 arithmetic alone can leave; on Fractions nothing is allowed."""


@dataclass(frozen=True)
class ExactAudit:
    """The output law of a sampler and how far it is from the target.

    Attributes:
        law: ``(V,)`` exact output law.
        target: ``(V,)``.
        bias: total variation between them; a Fraction if ``exact``.
        exact: whether all masses are Fractions or integers; one float among them makes the laws
            float64.
    """

    law: Array
    target: Array
    bias: float | Fraction
    exact: bool

    @property
    def biased(self) -> bool:
        """Whether the output law differs: at all on Fractions, beyond rounding on float64."""
        return self.bias > (0 if self.exact else ROUNDING)

    def __str__(self) -> str:
        arithmetic = "on Fractions" if self.exact else f"in float64, rounding {ROUNDING:g}"
        if not self.biased:
            return f"Law-lossless at this target and draft, by enumeration {arithmetic}."
        worst = max(range(len(self.law)), key=lambda x: abs(self.law[x] - self.target[x]))
        return (
            f"Biased by {float(self.bias):.6g} in total variation, by enumeration {arithmetic}; "
            f"token {worst} has probability {self.law[worst]} in place of {self.target[worst]}."
        )


def audit_program(program: Callable[[Tape], int], target: Array) -> ExactAudit:
    """Exact audit of any sampler that takes its randomness from a tape.

    Args:
        program: ``program(tape)`` returns a token; it draws by ``tape.draw(law)`` and
            ``tape.accept(probability)``.
        target: ``(V,)``, Fractions or float64.

    Raises:
        TooLarge: too many paths.
        InputError: a token outside the vocabulary, or randomness from elsewhere.

    >>> p, q = (np.array([Fraction(a, 10), Fraction(10 - a, 10)]) for a in (3, 6))
    >>> print(audit_program(lambda tape: tape.draw(q), p))  # always accepts
    Biased by 0.3 in total variation, by enumeration on Fractions; token 0 has probability 3/5 in
    place of 3/10.
    """
    check_pmf("target", target)
    law = target * 0
    for token, mass in output_law(program).items():
        if not 0 <= token < target.shape[-1]:
            raise InputError(
                f"the program returned token {token}; the vocabulary has tokens 0 to "
                f"{target.shape[-1] - 1}"
            )
        law[token] = mass
    return _compare(law, target)


def audit_rule(
    rule: VerificationRule, scheme: DraftScheme, target: Array, draft: Array, k: int
) -> ExactAudit:
    """Exact audit of a verification rule under a draft scheme.

    Args:
        rule: any rule, lossless or not.
        scheme: how its drafts are drawn; also one that the rule does not claim to cover.
        target: ``(V,)``, Fractions or float64.
        draft: ``(V,)``, or ``(k, V)`` for a per-slot scheme.
        k: number of drafts.

    Raises:
        TooLarge: too many draft tuples.
        InputError: see `VerificationRule.verdict`.

    >>> from spectheory import rule, scheme
    >>> p = np.array([Fraction(w, 16) for w in (1, 6, 2, 5, 2)])
    >>> q = np.array([Fraction(w, 14) for w in (5, 1, 4, 1, 3)])
    >>> audit_rule(rule("recursive"), scheme("iid"), p, q, 2).bias
    Fraction(0, 1)
    >>> float(audit_rule(rule("recursive"), scheme("without_replacement"), p, q, 2).bias)
    0.00241296158
    """
    return _compare(enumerate_rule(rule, scheme, target, draft, k).law, target)


def _compare(law: Array, target: Array) -> ExactAudit:
    if is_exact(law) and all(isinstance(mass, Rational) for mass in (*law, *target)):
        return ExactAudit(law, target, Fraction(total_variation(target, law)), True)
    if is_exact(law):  # a program on Fractions that drew from floats
        law, target = (np.asarray(values, dtype=np.float64) for values in (law, target))
    return ExactAudit(law, target, float(total_variation(target, law)), False)
