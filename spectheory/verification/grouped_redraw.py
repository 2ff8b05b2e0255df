"""Group first, then the token: the law-lossless form of grouped acceptance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, capped_ratio, namespace, pick, positive_part, ratio, total
from spectheory.distributions import normalise
from spectheory.drafting.scheme import slot_law
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule
from spectheory.verification.token_groups import PAIRED_IDS, StaticGroups


@dataclass(frozen=True)
class GroupedRedraw(VerificationRule):
    """Accept the group with ``min(1, P(G) / Q(G))``, then redraw the token from ``p(. | G)``.

    The redraw is coupled with the draft, so that x stays as often as a redraw can:
    with ``min(1, p(x | G) / q(x | G))``. After a rejection ``G ~ (P - Q)_+``, ``x ~ p(. | G)``. The
    output law is p exactly. The price: the draft survives with probability
    ``sum_G min(P, Q)(G) (1 - TV(q(. | G), p(. | G))) <= 1 - TV(p, q)``, so grouping helps a
    lossless rule only where the continuation depends on the token through its group.

    Args:
        groups: a partition (default: pairs of adjacent token ids).

    Reference: so2025grouped for the groups; this rule is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> [round(float(rate), 4) for rate in GroupedRedraw().rates(p, q, 1)]
    [0.5714, 0.5714]
    """

    key: ClassVar[str] = "grouped_redraw"
    reference: ClassVar[str] = "so2025grouped"
    lossless_under: ClassVar[tuple[str, ...]] = ("iid",)
    most_drafts: ClassVar[int | None] = 1
    maximal_at_one: ClassVar[bool] = False

    groups: StaticGroups = PAIRED_IDS

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target)
        law, token = slot_law(draft, drafts, 0), drafts[..., 0]
        p_group, q_group, p_within, q_within = self._split(target, law)
        group = pick(capped_ratio(p_group, q_group), token)[..., None]
        stay = pick(capped_ratio(p_within, q_within), token)[..., None]
        inside = self.groups.same(token, target)
        other = xp.where(inside, positive_part(p_within - q_within), target * 0)
        elsewhere = normalise(positive_part(p_group - q_group) * p_within, fallback=target)
        left = group * (1 - stay) * normalise(other, fallback=target) + (1 - group) * elsewhere
        return Verdict(drafts, group * stay, normalise(left, fallback=target + left * 0))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        xp = namespace(target)
        p_group, q_group, p_within, q_within = self._split(target, draft)
        kept = total(xp.minimum(p_group, q_group) * xp.minimum(p_within, q_within))[..., 0]
        return Rates(kept, kept)

    def _split(self, target: Array, draft: Array) -> tuple[Array, Array, Array, Array]:
        """Group masses around each token, and each token's probability within its group."""
        p_group = self.groups.around(target, target)
        q_group = self.groups.around(target, draft)
        return p_group, q_group, ratio(target, p_group), ratio(draft, q_group)
