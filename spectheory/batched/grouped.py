"""Batched grouped acceptance. Lossy by design, with the bias of its definition."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from spectheory.arrays import capped_ratio
from spectheory.batched.draws import or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import Ladder, LadderRule
from spectheory.verification.grouped import Grouped
from spectheory.verification.token_groups import PAIRED_IDS, StaticGroups


class BatchedGrouped(LadderRule):
    """Accept x with ``min(1, P(G(x)) / Q(G(x)))``: masses of the drafted group only.

    Args:
        groups: a partition; pairs of adjacent token ids by default, as in the definition.

    Reference: so2025grouped, method section.
    """

    key: ClassVar[str] = "grouped"
    pools: ClassVar[bool] = False

    def __init__(self, groups: StaticGroups = PAIRED_IDS) -> None:
        self.groups = groups

    @property
    def definition(self) -> Grouped:
        """See `BatchedRule.definition`."""
        return Grouped(self.groups)

    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        labels = torch.as_tensor(self.groups.labels(target.shape[-1]), device=drafts.device)
        p, q = target.dense(), draft.dense()
        mine = labels == labels[drafts]  # (B, V): the rule takes one draft
        accept = capped_ratio(
            *(law.masked_fill(~mine, 0.0).sum(-1, keepdim=True) for law in (p, q))
        )

        def residual(failed: Any) -> Tensor:
            return or_target((p[failed] - q[failed]).clamp_(min=0), p[failed])

        return Ladder(accept, residual)
