"""The optimal rule for greedy drafts, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, namespace, pick, positive_part, ratio, total
from spectheory.distributions import normalise, rank_descending
from spectheory.drafting.greedy import rest_law
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class GreedyOptimal(VerificationRule):
    """Rejection on the one random draft; the residual carries the fixed tokens' target mass.

    With T the top k - 1 tokens and ``w = q / (1 - q(T))`` off T: accept the random draft x with
    probability ``min(1, p(x) / w(x))``, else draw from ``p`` on T and ``(p - w)_+`` off T. A draw
    in T counts as accepting that draft. Acceptance ``p(T) + sum_{x not in T} min(p, w)``, the
    optimum for this draft law.

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
        xp = namespace(target, draft)
        k = drafts.shape[-1]
        rest = rest_law(draft, k)
        token = drafts[..., k - 1]
        accept = capped_ratio(pick(target, token), pick(rest, token))
        fixed = rank_descending(draft) < k - 1
        left = xp.where(fixed, target, positive_part(target - rest))
        left_total = total(left)
        miss = 1 - accept
        masses = [
            miss * ratio(pick(target, drafts[..., i]), left_total[..., 0]) for i in range(k - 1)
        ]
        off = normalise(xp.where(fixed, left * 0, left), fallback=target)
        return Verdict.from_masses(drafts, xp.stack([*masses, accept], axis=-1), off)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        xp = namespace(target, draft)
        fixed = rank_descending(draft) < k - 1
        mass = xp.where(fixed, target, xp.minimum(target, rest_law(draft, k)))
        accepted = total(mass)[..., 0]
        return Rates(accepted, accepted)
