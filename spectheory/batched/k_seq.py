"""Batched K-SEQ: the slow-down by safeguarded Newton steps, a handful of passes over a row.

On CPU `spectheory.kernels.k_seq` does the same.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from spectheory.arrays import capped_ratio
from spectheory.batched.draws import few, or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import Kernel, Ladder, LadderRule

_MARGIN = 2.0**-47
"""How far above the root, relatively, rho is put: rho must not be below rho*."""


class BatchedKSeq(LadderRule):
    """K-SEQ at rho*, where it accepts most.

    Reference: sun2023spectr, Algorithm 2 and Theorem 2.
    """

    key: ClassVar[str] = "k_seq"

    def kernel(self) -> Kernel:
        """See `LadderRule.kernel`."""
        from spectheory.kernels.k_seq import k_seq

        return k_seq

    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        p, q, k = target.dense(), draft.dense(), drafts.shape[-1]
        rho = slowdown(p, q, k)
        accept = capped_ratio(few(p.gather(-1, drafts)) / few(rho), few(q.gather(-1, drafts)))

        def residual(failed: Any) -> Tensor:
            row = p[failed]
            clipped = (row / rho[failed]).minimum(q[failed])
            beta = clipped.sum(-1, keepdim=True)
            gain = torch.where(beta > 0, (1 - (1 - beta) ** k) / beta.where(beta > 0, 1.0), 0.0)
            return or_target(torch.addcmul(row, clipped, gain, value=-1).clamp_(min=0), row)

        return Ladder(accept, residual)


def slowdown(target: Tensor, draft: Tensor, k: int) -> Tensor:
    """``(B, 1)``: rho*, the root of ``1 - (1 - beta)^k - rho beta`` in [1, k].

    ``rho beta(rho) = sum min(p, rho q)`` is linear in rho between crossings, so Newton's step is
    exact within an active set; a step out of the bracket is replaced by its middle.

    Args:
        target, draft: ``(B, V)`` float64 or float32.

    >>> p, q = torch.tensor([[0.3, 0.4, 0.3]]).double(), torch.tensor([[0.6, 0.3, 0.1]]).double()
    >>> round(float(slowdown(p, q, 2)), 9)
    1.4
    """
    low = torch.ones_like(target[:, :1])
    rounding = 8 * torch.finfo(low.dtype).eps
    high = low * k
    rho = low
    at_one: Any = None
    for _ in range(100):
        met, proposed = _sums(target, draft, rho)
        beta = met / rho
        excess = 1 - (1 - beta) ** k - met
        if at_one is None:
            at_one = excess <= rounding
        less = excess > 0
        low, high = torch.where(less, rho, low), torch.where(less, high, rho)
        # d met / d rho = proposed, so d beta / d rho = (proposed - beta) / rho
        slope = k * (1 - beta) ** (k - 1) * (proposed - beta) / rho - proposed
        step = torch.where(slope < 0, excess / torch.where(slope < 0, slope, -1.0), torch.inf)
        settled = at_one | (step.abs() <= rounding * rho)
        if bool((settled | (high - low <= rounding * low)).all()):
            break
        following = rho - step
        inside = (following > low) & (following < high)
        rho = torch.where(settled, rho, torch.where(inside, following, (low + high) / 2))
    best = torch.where(settled, rho, high)
    raised = (best * (1 + max(_MARGIN, rounding))).clamp(1.0, float(k))
    return torch.where(at_one, 1.0, raised)


def _sums(target: Tensor, draft: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, 1)`` each: ``sum min(p, rho q)``, and the draft mass of the tokens with rho q < p."""
    scaled = draft * rho
    below = scaled < target
    met = torch.where(below, scaled, target).sum(-1, keepdim=True)
    return met, torch.where(below, draft, 0.0).sum(-1, keepdim=True)
