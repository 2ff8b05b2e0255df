"""Grouped speculative decoding: accept by the mass of a group of tokens. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, namespace, ratio, total
from spectheory.distributions import residual
from spectheory.verification.relaxed import RelaxedRule
from spectheory.verification.token_groups import PAIRED_IDS, TokenGroups


@dataclass(frozen=True)
class Grouped(RelaxedRule):
    """Accept x with ``min(1, P(G(x)) / Q(G(x)))`` and keep it, else draw from ``(p - q)_+``.

    P(G), Q(G) are group masses. With ``acc(x) = min(P, Q)(G(x)) q(x) / Q(G(x))`` and ladder
    ``a = sum acc`` the output law is ``acc + (1 - a) (p - q)_+ / TV(p, q)``. On a partition
    ``a = sum_G min(P, Q) >= 1 - TV(p, q)`` and the bias is ``TV(out, p) = sum_x (acc - p)_+``, the
    least that this accept test allows. The law of the group is biased too.

    Args:
        groups: a partition (default: pairs of adjacent token ids), or a rank window.

    Reference: so2025grouped, method section; the bias formula is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> round(float(Grouped().rates(p, q, 1).ladder), 12), round(float(1 - 0.4), 12)
    (0.9, 0.6)
    >>> Grouped().output_law(p, q, 1).round(4).tolist()
    [0.2464, 0.4286, 0.325]
    """

    key: ClassVar[str] = "grouped"
    reference: ClassVar[str] = "so2025grouped"

    groups: TokenGroups = PAIRED_IDS

    def accept(self, target: Array, draft: Array) -> Array:
        return capped_ratio(*self.masses(target, draft))

    def residual(self, target: Array, draft: Array) -> Array:
        return residual(target, draft)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        kept = self.kept_mass(target, draft)
        return kept + (1 - total(kept)) * residual(target, draft)

    def masses(self, target: Array, draft: Array) -> tuple[Array, Array]:
        """``(..., V)`` target and draft mass of the group around each token."""
        return self.groups.around(target, target), self.groups.around(target, draft)

    def kept_mass(self, target: Array, draft: Array) -> Array:
        """``(..., V)``: ``acc(x) = min(P, Q)(G(x)) q(x | G(x))``, zero where the draft is."""
        p_group, q_group = self.masses(target, draft)
        return namespace(draft).minimum(p_group, q_group) * ratio(draft, q_group)
