"""The optimal rule for i.i.d. drafts: each draft draws a score, the highest score wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, namespace
from spectheory.transport.iid_value import iid_optimum
from spectheory.transport.score_kernel import score_kernel_plan
from spectheory.verdict import Verdict
from spectheory.verification.plan_rows import verdict_by_rows
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class OptimalIid(VerificationRule):
    """Draw a score for each draft from its token's kernel; the highest, if high enough, wins.

    Attains ``alpha* = 1 + min over H of [p(H) - q(H)^k]``, the most that any lossless rule reaches
    with k i.i.d. drafts, with accepted mass ``min(p, c q)``. The verdict holds the chance that each
    slot wins, the scores integrated out.

    Reference: spectheory2026optimal, section 3; `spectheory.transport.score_kernel`.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(OptimalIid().rates(p, q, 2).acceptance), 12)
    0.89
    """

    key: ClassVar[str] = "optimal_iid"
    reference: ClassVar[str] = "spectheory2026optimal"
    exact: ClassVar[bool] = False
    lossless_under: ClassVar[tuple[str, ...]] = ("iid",)
    dominates: ClassVar[tuple[str, ...]] = (
        "rejection",
        "naive",
        "nss",
        "k_seq",
        "recursive",
        "gumbel_list",
    )

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        return verdict_by_rows(score_kernel_plan, target, draft, drafts)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        accepted = namespace(target).asarray(iid_optimum(target, draft, k).primal)
        return Rates(accepted, accepted)
