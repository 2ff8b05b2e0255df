"""Threshold acceptance: keep a draft whose ratio p / q reaches a constant. Lossy by design."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from spectheory.arrays import Array, is_exact
from spectheory.distributions import residual
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.first_in_set import (
    first_in_set_law,
    first_in_set_rates,
    first_in_set_verdict,
)
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class Threshold(VerificationRule):
    """Accept the first draft with ``p(x) >= tau q(x)``, else draw from ``(p - q)_+``.

    What rejection becomes when its uniform is replaced by a user's constant, an option of at least
    one serving engine. With i.i.d. drafts and accepted set A the output law is
    ``q 1_A (1 - (1 - q(A))^k) / q(A) + (1 - q(A))^k r``, r the residual law.

    Args:
        tau: the constant; 1 accepts only tokens that rejection accepts for sure.

    Reference: nvidia2024tensorrtllm, external draft tokens.

    >>> import numpy as np
    >>> p, q = np.array([0.7, 0.3]), np.array([0.5, 0.5])
    >>> Threshold(tau=1.0).output_law(p, q, 1).round(3).tolist()
    [1.0, 0.0]
    """

    key: ClassVar[str] = "threshold"
    reference: ClassVar[str] = "nvidia2024tensorrtllm"
    lossless: ClassVar[bool] = False
    maximal_at_one: ClassVar[bool] = False
    biased_under: ClassVar[tuple[str, ...]] = ("iid",)

    tau: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.tau < math.inf:
            raise InputError(f"`tau` is {self.tau}; expected a finite number >= 0")

    def accepted_set(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` mask of the tokens that are accepted when drafted."""
        tau = Fraction(self.tau) if is_exact(target) else self.tau
        return target >= draft * tau

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return first_in_set_verdict(
            self.accepted_set(target, draft), drafts, residual(target, draft)
        )

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        return first_in_set_rates(
            self.accepted_set(target, draft), draft, k, residual(target, draft)
        )

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        return first_in_set_law(self.accepted_set(target, draft), draft, k, residual(target, draft))
