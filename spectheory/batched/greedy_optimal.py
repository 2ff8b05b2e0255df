"""Batched optimal rule for greedy drafts."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from spectheory.arrays import capped_ratio
from spectheory.batched.draws import or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import Kernel, Ladder, LadderRule
from spectheory.verdict import Verdict


class BatchedGreedyOptimal(LadderRule):
    """Rejection on the last draft, the residual carrying the fixed tokens' target mass.

    The fixed tokens are read off the drafts, as `GreedyDrafts` orders them, so that none is sought.

    Reference: hu2025towards, section 4.
    """

    key: ClassVar[str] = "greedy_optimal"
    pools: ClassVar[bool] = False

    def kernel(self) -> Kernel:
        """See `LadderRule.kernel`."""
        from spectheory.kernels.greedy_optimal import greedy_optimal

        return greedy_optimal

    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        p, q = target.dense(), draft.dense()
        fixed, last = drafts[:, :-1], drafts[:, -1:]
        rest = q.scatter(-1, fixed, 0.0)
        rest = rest / rest.sum(-1, keepdim=True)
        accept = capped_ratio(p.gather(-1, last), rest.gather(-1, last))
        left = (p - rest).clamp_(min=0)
        left_mass = left.sum(-1, keepdim=True)  # p on the fixed tokens, (p - rest)_+ off them
        carried = (1 - accept) * p.gather(-1, fixed)
        masses = torch.where(left_mass > 0, carried / left_mass.where(left_mass > 0, 1.0), 0.0)
        ladder = Verdict.from_masses(drafts, torch.cat([masses, accept], -1), None).accept

        def residual(failed: Any) -> Tensor:
            return or_target(left[failed].scatter(-1, fixed[failed], 0.0), p[failed])

        return Ladder(ladder, residual)
