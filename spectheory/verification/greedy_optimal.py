"""The optimal rule for greedy drafts, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array
from spectheory.transport.greedy_plan import GreedyPlan
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class GreedyOptimal(VerificationRule):
    """Rejection on the one random draft; the residual carries the fixed tokens' target mass.

    A draw that lands on a fixed token counts as accepting that draft. Acceptance
    ``p(T) + sum_{x not in T} min(p, w)``, the optimum for this draft law (see `GreedyPlan`).

    Reference: hu2025towards, section 4.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(GreedyOptimal().rates(p, q, 2, "greedy").acceptance), 12)
    0.95
    """

    key: ClassVar[str] = "greedy_optimal"
    reference: ClassVar[str] = "hu2025towards"
    lossless_under: ClassVar[tuple[str, ...]] = ("greedy",)
    dominates: ClassVar[tuple[str, ...]] = ("nss", "spechub")

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return GreedyPlan(target, draft, drafts.shape[-1]).verdict(drafts)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        accepted = GreedyPlan(target, draft, k).value
        return Rates(accepted, accepted)
