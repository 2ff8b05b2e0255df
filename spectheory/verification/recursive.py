"""Recursive rejection with replacement: reject, replace the target by the residual, go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, namespace, pick
from spectheory.distributions import overlap, residual
from spectheory.drafting.scheme import slot_law
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class Recursive(VerificationRule):
    """Rejection against ``p_1 = p`` then ``p_{i+1}`` proportional to ``(p_i - q_i)_+``.

    Ladder ``1 - prod_i TV(p_i, q_i)``. A rejected token has no residual mass, so with one shared
    draft law the residual never lands on a draft and both acceptances agree.

    Reference: miao2024specinfer, Algorithm 2 (multi-step speculative sampling).

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(Recursive().rates(p, q, 2).ladder), 12)
    0.82
    """

    key: ClassVar[str] = "recursive"
    reference: ClassVar[str] = "miao2024specinfer"
    lossless_under: ClassVar[tuple[str, ...]] = ("iid", "heterogeneous")

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        left = target
        accept = []
        for i in range(drafts.shape[-1]):
            law, token = slot_law(draft, drafts, i), drafts[..., i]
            accept.append(capped_ratio(pick(left, token), pick(law, token)))
            left = residual(left, law)
        return Verdict(drafts, namespace(target).stack(accept, axis=-1), left)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        left, missed = target, 1
        for i in range(k):
            law = draft[..., i, :] if scheme == "heterogeneous" else draft
            missed = missed * (1 - overlap(left, law))
            left = residual(left, law)
        return Rates(1 - missed, 1 - missed)
