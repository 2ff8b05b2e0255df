"""Near-optimal rules for dependent or unequal drafts: a mixture of priority orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from spectheory.arrays import Array
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.verdict import Verdict
from spectheory.verification.plan_rows import verdict_by_rows
from spectheory.verification.rule import VerificationRule


@dataclass(frozen=True)
class OptimalMixture(VerificationRule):
    """Draw a priority order, pick the highest-ranked draft, accept it with ``min(1, p / b)``.

    b is the law of the picked draft, known exactly as the mixture of the orders' laws, so the rule
    is law-lossless whatever the orders; they are chosen so that the acceptance is within ``gap`` of
    the optimum, or as near as ``most_rounds`` orders come.

    Args:
        scheme: key of the draft scheme.
        gap: where to stop.
        most_rounds: when to stop.

    Reference: khisti2025multi, Theorem 1 (canonical form); `spectheory.transport.priority_mixture`.

    >>> import numpy as np
    >>> from spectheory.drafting.scheme import scheme
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> drafts, chance = scheme("without_replacement").law(q, 2)
    >>> verdict = OptimalMixture("without_replacement").verdict(p[None], q[None], drafts)
    >>> round(float(verdict.acceptance() @ chance), 9)  # the optimum
    0.992857143
    """

    reference: ClassVar[str] = "khisti2025multi"
    iterative: ClassVar[bool] = True

    scheme: str = "without_replacement"
    gap: float = 1e-9
    most_rounds: int = 128

    @classmethod
    def examples(cls) -> Iterator[OptimalMixture]:
        """One for each draft law without a closed-form optimal rule."""
        for scheme in ("without_replacement", "distinct", "heterogeneous"):
            yield cls(scheme)

    def bounded(self) -> OptimalMixture:
        """Stops at a gap of 0.001, after four rounds at the latest."""
        return replace(self, gap=1e-3, most_rounds=4)

    @property
    def key(self) -> str:  # type: ignore[override]
        """The draft scheme is part of the name."""
        return f"optimal_{self.scheme}"

    @property
    def lossless_under(self) -> tuple[str, ...]:  # type: ignore[override]
        """Under the scheme it was made for."""
        return (self.scheme,)

    def plan(self, target: Array, draft: Array, k: int) -> PriorityMixture:
        """The mixture of orders for one position."""
        return PriorityMixture.solve(target, draft, k, self.scheme, self.gap, self.most_rounds)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return verdict_by_rows(self.plan, target, draft, drafts)
