"""Judge decoding: a judge may pass what rejection refuses. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, capped_ratio, constant, is_exact, number, positive_part, total
from spectheory.distributions import residual
from spectheory.errors import InputError, VocabularyMismatch
from spectheory.verification.relaxed import RelaxedRule


@dataclass(frozen=True)
class Judge(RelaxedRule):
    """Accept x if rejection does or a judge passes it (probability j), else ``(p - q)_+``.

    ``a(x) = j + (1 - j) min(1, p / q)``. For a constant j the output law is the mixture
    ``(1 - j) p + j q``, the ladder ``1 - (1 - j) TV(p, q)``, the bias ``j TV(p, q)``. For a judge
    that looks at the token, ``acc = min(p, q) + j (q - p)_+`` and the bias is
    ``sum_x j(x) (q - p)_+``.

    Args:
        passes: probability that the judge passes a token, one for all or a sequence of V, one each
            (0 or 1 for a judge that is a threshold on a score).

    Reference: bachmann2025judge for the or-rule; the law is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> Judge(passes=0.5).output_law(p, q, 1).round(4).tolist()
    [0.35, 0.3, 0.35]
    >>> Judge(passes=(0.0, 1.0, 0.0)).output_law(p, q, 1).round(4).tolist()
    [0.2, 0.5, 0.3]
    """

    key: ClassVar[str] = "judge"
    reference: ClassVar[str] = "bachmann2025judge"

    passes: float | tuple[float, ...] = 0.25

    def __post_init__(self) -> None:
        if not isinstance(self.passes, (int, float, Fraction)):
            object.__setattr__(self, "passes", tuple(np.ravel(self.passes).tolist()))
        if not all(0 <= j <= 1 for j in np.ravel(self.passes)):
            raise InputError(f"`passes` is {self.passes}; expected probabilities")

    def accept(self, target: Array, draft: Array) -> Array:
        passed = self._passed(target)
        return passed + (1 - passed) * capped_ratio(target, draft)

    def residual(self, target: Array, draft: Array) -> Array:
        return residual(target, draft)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        passed = self._passed(target)
        if isinstance(self.passes, tuple):
            refused = total((1 - passed) * positive_part(draft - target))
            short = draft - (1 - passed) * positive_part(draft - target)
            return short + refused * residual(target, draft)
        return (1 - passed) * target + passed * draft

    def bias(self, target: Array, draft: Array) -> Array:
        """``(...)`` ``sum_x j(x) (q - p)_+``."""
        return total(self._passed(target) * positive_part(draft - target))[..., 0]

    def _passed(self, like: Array) -> Array:
        """`passes` in the arithmetic of ``like``, a number or ``(V,)``."""
        if not isinstance(self.passes, tuple):
            return number(self.passes, like)
        if len(self.passes) != like.shape[-1]:
            raise VocabularyMismatch(
                f"`passes` has {len(self.passes)} entries, the laws {like.shape[-1]} tokens"
            )
        numbers = [number(j, like) for j in self.passes]
        dtype = object if is_exact(like) else np.float64
        return constant(np.array(numbers, dtype=dtype), like)
