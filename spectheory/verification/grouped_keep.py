"""Grouped acceptance with a residual over groups: exact for the group, lossy for the token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, namespace, positive_part, ratio, total
from spectheory.distributions import normalise
from spectheory.verification.grouped import Grouped
from spectheory.verification.token_groups import PAIRED_IDS, StaticGroups


@dataclass(frozen=True)
class GroupedKeep(Grouped):
    """Accept x with ``min(1, P(G) / Q(G))`` and keep it, else draw G from ``(P - Q)_+``, x from p.

    After a rejection, ``x ~ p(. | G)``. The group of the output has exactly the target's law; the
    token's bias is ``TV(out, p) = sum_G min(P, Q)(G) TV(q(. | G), p(. | G))``. So the mean of any
    feature f moves by at most ``sum_G min(P, Q) osc_G(f) TV_G``: little where groups are tight.

    Args:
        groups: a partition (default: pairs of adjacent token ids).

    Reference: so2025grouped for the test; residual and formulas are ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> law = GroupedKeep().output_law(p, q, 1)
    >>> law.round(4).tolist(), round(float(law[:2].sum()), 12)
    ([0.1714, 0.4286, 0.4], 0.6)
    """

    key: ClassVar[str] = "grouped_keep"
    groups: StaticGroups = PAIRED_IDS

    def residual(self, target: Array, draft: Array) -> Array:
        p_group, q_group = self.masses(target, draft)
        missing = positive_part(p_group - q_group) * ratio(target, p_group)
        return normalise(missing, fallback=target)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        p_group, q_group = self.masses(target, draft)
        missing = positive_part(p_group - q_group) * ratio(target, p_group)
        return self.kept_mass(target, draft) + missing

    def bias(self, target: Array, draft: Array) -> Array:
        """``(...)`` ``sum_G min(P, Q)(G) TV(q(. | G), p(. | G))``."""
        p_group, q_group = self.masses(target, draft)
        excess = positive_part(ratio(draft, q_group) - ratio(target, p_group))
        return total(namespace(target).minimum(p_group, q_group) * excess)[..., 0]
