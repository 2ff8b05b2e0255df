"""Naive multi-draft: single-draft rejection on the first draft; the others are bystanders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, namespace, positive_part, total
from spectheory.distributions import overlap
from spectheory.verdict import Verdict
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class Naive(VerificationRule):
    """Rejection on the first draft only; the residual may still land on another draft.

    Ladder ``1 - TV(p, q_1)``. With the other drafts independent of the first,
    acceptance ``= sum min(p, q_1) + sum (p - q_1)_+ P(x in {X_2..X_k})``.

    Reference: thomas2026delayed, section on naive tree verification.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    >>> [float(r) for r in Naive().rates(p, q, 2)]
    [0.82, 0.7]
    """

    key: ClassVar[str] = "naive"
    reference: ClassVar[str] = "thomas2026delayed"
    lossless_under: ClassVar[tuple[str, ...]] = ("iid", "without_replacement", "heterogeneous")

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target)
        first_law = draft[..., :1, :] if draft.ndim == drafts.ndim + 1 else draft
        first = Rejection()._verdict(target, first_law, drafts[..., :1])
        ignored = first.accept * 0
        accept = xp.concat([first.accept] + [ignored] * (drafts.shape[-1] - 1), axis=-1)
        return Verdict(drafts, accept, first.residual)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        if scheme == "without_replacement" and k > 1:
            return None  # the later drafts depend on the rejected one
        if scheme == "heterogeneous":
            law, missed = draft[..., 0, :], namespace(draft).prod(1 - draft[..., 1:, :], axis=-2)
        else:
            law, missed = draft, (1 - draft) ** (k - 1)
        ladder = overlap(target, law)
        lucky = total(positive_part(target - law) * (1 - missed))[..., 0]
        return Rates(ladder + lucky, ladder)
