"""What relaxed single-draft rules share: an accept function a(x), a residual law, one accounting.

Any such rule outputs ``q a + (1 - sum q a) r``. Whatever the residual r, its total variation to the
target is at least ``sum_x (q(x) a(x) - p(x))_+``, what it accepts too much; `least_bias` is that.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, namespace, pick, positive_part, total
from spectheory.drafting.scheme import slot_law
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class RelaxedRule(VerificationRule):
    """Accept x with probability ``a(x)``, else draw from one residual law, whatever x was."""

    lossless: ClassVar[bool] = False
    biased_under: ClassVar[tuple[str, ...]] = ("iid",)
    most_drafts: ClassVar[int | None] = 1
    maximal_at_one: ClassVar[bool] = False

    @abstractmethod
    def accept(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` probability ``a(x)`` of accepting each token, if it is drafted."""

    @abstractmethod
    def residual(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` law of the output after a rejection."""

    def accepted(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` joint probability ``q(x) a(x)`` that x is drafted and accepted."""
        return draft * self.accept(target, draft)

    def least_bias(self, target: Array, draft: Array) -> Array:
        """``(...)`` total variation that no residual can avoid: ``sum_x (q a - p)_+``."""
        return total(positive_part(self.accepted(target, draft) - target))[..., 0]

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        law = slot_law(draft, drafts, 0)
        accept = pick(self.accept(target, law), drafts[..., 0])
        return Verdict(drafts, accept[..., None], self.residual(target, law))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        accepted = self.accepted(target, draft)
        back = total((draft - accepted) * self.residual(target, draft))[..., 0]
        ladder = namespace(draft).sum(accepted, axis=-1)
        return Rates(ladder + back, ladder)
