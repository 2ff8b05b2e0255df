"""Rejection: the single-draft rule, a maximal coupling of draft and target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, pick
from spectheory.distributions import overlap, residual
from spectheory.drafting.scheme import slot_law
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class Rejection(VerificationRule):
    """Accept x with probability ``min(1, p(x) / q(x))``, else draw from ``(p - q)_+``.

    Acceptance ``sum_x min(p, q) = 1 - TV(p, q)``, the most any lossless rule reaches with k = 1.

    Reference: leviathan2023fast, Theorem 3.5.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    >>> Rejection().verdict(p, q, np.array([0])).law().tolist()
    [0.5, 0.5]
    """

    key: ClassVar[str] = "rejection"
    reference: ClassVar[str] = "leviathan2023fast"
    most_drafts: ClassVar[int | None] = 1
    lossless_under: ClassVar[tuple[str, ...]] = (
        "iid",
        "without_replacement",
        "distinct",
        "greedy",
        "heterogeneous",
    )

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        law = slot_law(draft, drafts, 0)
        token = drafts[..., 0]
        accept = capped_ratio(pick(target, token), pick(law, token))
        return Verdict(drafts, accept[..., None], residual(target, law))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        law = draft[..., 0, :] if scheme == "heterogeneous" else draft
        accepted = overlap(target, law)
        return Rates(accepted, accepted)
