"""Batched recursive rejection, with and without replacement.

The residuals need no rows of their own. With ``p_1 = p`` and q_i the draft law less the tokens
rejected so far (mass Z_i; Z = 1 with replacement), every one is a clipped difference of the two
rows at hand, as follows by induction:

    p_i = (p - C_i q)_+ / T_i,      C_(i+1) = C_i + T_i / Z_i,      T_i = sum (p - C_i q)_+

from C_1 = 0, T_1 = 1. A rejected token has ``p <= C q`` from then on, so it needs no masking.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectheory.arrays import capped_ratio
from spectheory.batched.draws import or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import Kernel, Ladder, LadderRule


class BatchedRecursive(LadderRule):
    """Recursive rejection of i.i.d. drafts; one pass over a row for each draft.

    Reference: miao2024specinfer, Algorithm 2 (multi-step speculative sampling).
    """

    key: ClassVar[str] = "recursive"
    replacement: ClassVar[bool] = True

    def kernel(self) -> Kernel:
        """See `LadderRule.kernel`."""
        from spectheory.kernels.recursive import recursive

        return partial(recursive, self.replacement)

    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        p, q = target.dense(), draft.dense()
        at_p, at_q = p.gather(-1, drafts), q.gather(-1, drafts)
        scale, mass = torch.zeros_like(p[:, :1]), p.sum(-1, keepdim=True)
        rest = torch.ones_like(scale)  # draft mass of the tokens not yet rejected
        accept = []
        for i in range(drafts.shape[-1]):
            own_p, own_q = at_p[:, i : i + 1], at_q[:, i : i + 1]
            left = (own_p - scale * own_q).clamp(min=0) / mass
            accept.append(capped_ratio(left, own_q / rest))
            further = scale + mass / rest
            remains = torch.addcmul(p, q, further, value=-1).clamp_(min=0).sum(-1, keepdim=True)
            # An empty residual is reached with probability 0: the law stays what it was.
            some = remains > 0
            scale, mass = torch.where(some, further, scale), torch.where(some, remains, mass)
            if not self.replacement:
                gone = q.scatter(-1, drafts[:, : i + 1], 0.0).sum(-1, keepdim=True)
                rest = torch.where(gone > 0, gone, rest)

        def residual(failed: Any) -> Tensor:
            row = p[failed]
            left = torch.addcmul(row, q[failed], scale[failed], value=-1).clamp_(min=0)
            return or_target(left, row)

        return Ladder(torch.cat(accept, -1), residual)


class BatchedRecursiveWithoutReplacement(BatchedRecursive):
    """Recursive rejection of drafts drawn without replacement.

    Reference: jeon2024recursive, Algorithm 1; chen2024sequoia, Algorithm 2.
    """

    key: ClassVar[str] = "recursive_without_replacement"
    pools: ClassVar[bool] = False
    replacement: ClassVar[bool] = False
