"""Amplified acceptance: the ratio p / q is raised by a constant. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, namespace, number, total
from spectheory.distributions import overlap, residual
from spectheory.errors import InputError
from spectheory.verification.relaxed import RelaxedRule


@dataclass(frozen=True)
class Amplify(RelaxedRule):
    """Accept x with ``min(1, w p(x) / q(x))``, else draw from ``(p - q)_+``.

    With ``b(w) = sum_x min(q, w p)`` the output law is
    ``min(q, w p) + (1 - b(w)) (p - q)_+ / TV(p, q)``, and the bias is exactly the extra acceptance:
    ``TV(out, p) = b(w) - b(1)``.

    Args:
        factor: w >= 1; 1 is rejection.

    Reference: so2025grouped, the baseline it calls amplify; the bias formula is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> Amplify(factor=2.0).output_law(p, q, 1).round(4).tolist()
    [0.425, 0.2, 0.375]
    """

    key: ClassVar[str] = "amplify"
    reference: ClassVar[str] = "so2025grouped"

    factor: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.factor < float("inf"):
            raise InputError(f"`factor` is {self.factor}; expected a number >= 1")

    def accept(self, target: Array, draft: Array) -> Array:
        return capped_ratio(number(self.factor, target) * target, draft)

    def residual(self, target: Array, draft: Array) -> Array:
        return residual(target, draft)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        raised = namespace(target, draft).minimum(draft, number(self.factor, target) * target)
        return raised + (1 - total(raised)) * residual(target, draft)

    def bias(self, target: Array, draft: Array) -> Array:
        """``(...)`` ``b(w) - b(1)``."""
        return overlap(number(self.factor, target) * target, draft) - overlap(target, draft)
