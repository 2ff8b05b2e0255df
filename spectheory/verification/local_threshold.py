"""Local pooling: keep a draft whose neighbourhood the target finds likely. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, number
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.first_in_set import (
    first_in_set_law,
    first_in_set_rates,
    first_in_set_verdict,
)
from spectheory.verification.rule import Rates, VerificationRule
from spectheory.verification.token_groups import NEXT_IDS, Neighbourhoods


@dataclass(frozen=True)
class LocalThreshold(VerificationRule):
    """Accept the first draft x with ``p(B(x)) >= tau``, B(x) its codebook ball, else draw from p.

    Deterministic, and blind to the draft law. With i.i.d. drafts and accepted set A the output law
    is ``q 1_A (1 - (1 - q(A))^k) / q(A) + (1 - q(A))^k p``, so for one draft the bias is
    ``TV(out, p) = q(A) TV(q(. | A), p)``.

    Args:
        tau: threshold on the pooled target mass.
        neighbours: the ball, without its centre (default: the two nearest ids).

    Reference: peruzzo2026multi for the test; the law is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.1, 0.1, 0.3, 0.5]), np.array([0.4, 0.2, 0.2, 0.2])
    >>> LocalThreshold(tau=0.6).output_law(p, q, 1).round(3).tolist()
    [0.06, 0.06, 0.38, 0.5]
    """

    key: ClassVar[str] = "local_threshold"
    reference: ClassVar[str] = "peruzzo2026multi"
    lossless: ClassVar[bool] = False
    maximal_at_one: ClassVar[bool] = False
    biased_under: ClassVar[tuple[str, ...]] = ("iid",)

    tau: float = 0.55
    neighbours: Neighbourhoods = NEXT_IDS

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1:
            raise InputError(f"`tau` is {self.tau}; expected a probability")

    def accepted_set(self, target: Array) -> Array:
        """``(..., V)`` mask of the tokens that are accepted when drafted."""
        pooled = target
        for near in self.neighbours.columns(target):
            pooled = pooled + near
        return pooled >= number(self.tau, target)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return first_in_set_verdict(self.accepted_set(target), drafts, target)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        return first_in_set_rates(self.accepted_set(target), draft, k, target)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        return first_in_set_law(self.accepted_set(target), draft, k, target)
