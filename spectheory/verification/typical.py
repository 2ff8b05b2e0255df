"""Typical acceptance: keep any draft the target finds plausible enough. Lossy by design."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, is_exact, namespace
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.first_in_set import (
    first_in_set_law,
    first_in_set_rates,
    first_in_set_verdict,
)
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class Typical(VerificationRule):
    """Accept the first draft with ``p(x) > min(epsilon, delta exp(-H(p)))``, else draw from p.

    Deterministic, and blind to the draft law. Its output law is a mixture of the draft restricted
    to the accepted set A and the target: with i.i.d. drafts
    ``q 1_A (1 - (1 - q(A))^k) / q(A) + (1 - q(A))^k p``, so the bias is exact and known.

    Args:
        epsilon: hard threshold.
        delta: factor of the entropy-dependent threshold (H in nats).

    Reference: cai2024medusa, section 2.3.1; the defaults are those of the released code.

    >>> import numpy as np
    >>> p, q = np.array([0.7, 0.3]), np.array([0.5, 0.5])
    >>> Typical(epsilon=0.5, delta=1.0).output_law(p, q, 1).round(3).tolist()
    [0.85, 0.15]
    """

    key: ClassVar[str] = "typical"
    reference: ClassVar[str] = "cai2024medusa"
    lossless: ClassVar[bool] = False
    maximal_at_one: ClassVar[bool] = False
    biased_under: ClassVar[tuple[str, ...]] = ("iid",)

    epsilon: float = 0.3
    delta: float = 0.09

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon < math.inf and 0 <= self.delta < math.inf):
            raise InputError(
                f"`epsilon` is {self.epsilon} and `delta` {self.delta}; expected finite numbers "
                ">= 0"
            )

    def accepted_set(self, target: Array) -> Array:
        """``(..., V)`` mask of the tokens that are accepted when drafted."""
        return target > self._threshold(target)

    def _threshold(self, target: Array) -> Array:
        xp = namespace(target)
        if is_exact(target):  # a threshold is a number; any definite one will do, so float64's
            as_float = self._threshold(np.asarray(target, dtype=np.float64))
            return np.vectorize(Fraction, otypes=[object])(as_float)
        logs = xp.log(xp.where(target > 0, target, xp.ones_like(target)))
        entropy = -xp.sum(target * logs, axis=-1, keepdims=True)
        soft = self.delta * xp.exp(-entropy)
        return xp.minimum(soft, xp.ones_like(soft) * self.epsilon)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return first_in_set_verdict(self.accepted_set(target), drafts, target)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        return first_in_set_rates(self.accepted_set(target), draft, k, target)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        return first_in_set_law(self.accepted_set(target), draft, k, target)
