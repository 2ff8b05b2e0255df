"""Batched optimal rule for i.i.d. drafts, by a histogram of the likelihood ratio.

The rows are read twice on their device: once for the histogram, once for the residual where all
drafts fail. In between, the score axis is divided among a few thousand bin edges on the host.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from spectheory.batched.draws import draw, or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import BatchedRule
from spectheory.errors import InputError
from spectheory.verdict import Draw

UNIT = 2.0**62
"""Masses are added as integers of this unit: the sum does not depend on the order, so a histogram
made by atomic additions is the same in every run."""


class BatchedOptimalIid(BatchedRule):
    """Each draft draws a score, the highest score wins: the draws of `grouped_plan`, batched.

    Law-lossless for any number of bins: what each token is really accepted with goes into the
    residual. Acceptance is below the optimum by at most `ScoreKernelPlan.loss_bound`.

    Args:
        bins: as in `grouped_plan`.

    Reference: spectheory2026optimal, section 3; `spectheory.transport.grouped_plan`.
    """

    key: ClassVar[str] = "optimal_iid"

    def __init__(self, bins: int = 2048) -> None:
        check_bins(bins)
        self.bins = bins

    def _draw(self, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor) -> Draw:
        from spectheory.kernels.ratio_histogram import layout

        k = drafts.shape[-1]
        shift, base, edges = layout(k, self.bins)
        p, q = target.dense().double(), draft.dense().double()
        bin_of, masses = binned(p, q, shift, base, self.bins)
        of_drafts = np.stack([a.gather(-1, drafts).double().cpu().numpy() for a in (p, q, bin_of)])
        slots, shares = win(masses, of_drafts, uniforms.cpu().numpy(), edges)
        slot = torch.as_tensor(slots, device=drafts.device)
        token = drafts.gather(-1, slot.clamp(max=k - 1)[:, None])[:, 0]
        failed = (slot == k).nonzero()[:, 0]
        if len(failed):
            left = residual(p, q, bin_of, shares, failed)
            token[failed] = draw(left, uniforms[failed, k])
        return Draw(token, slot)


def binned(
    target: Tensor, draft: Tensor, shift: int, base: int, bins: int
) -> tuple[Tensor, np.ndarray]:
    """`ratio_bins`, and `histogram` on the host; on CPU both in one pass over each row."""
    if target.device.type != "cpu":
        bin_of = ratio_bins(target, draft, shift, base, bins)
        return bin_of, histogram(target, draft, bin_of, bins).cpu().numpy()
    from spectheory.kernels import ratio_histogram

    numbers, masses = np.empty(target.shape, np.int32), np.empty((len(target), bins + 3, 2))
    for p, q, own, mass in zip(target.numpy(), draft.numpy(), numbers, masses, strict=True):
        ratio_histogram.histogram(p, q, shift, base, own, mass)
    return torch.as_tensor(numbers), masses


def ratio_bins(target: Tensor, draft: Tensor, shift: int, base: int, bins: int) -> Tensor:
    """``(B, V)`` int64 bin of each token's ratio p/q, as `kernels.ratio_histogram` numbers them."""
    ratio = (target / draft).add_(0.0)
    key = (ratio.view(torch.int64) >> shift).sub_(base).clamp_(0, bins + 1)
    return key.masked_fill_(draft <= 0, bins + 2)


def histogram(target: Tensor, draft: Tensor, bin_of: Tensor, bins: int) -> Tensor:
    """``(B, bins + 3, 2)`` float64 target and draft mass of each bin."""
    sums = torch.zeros(len(target), 2, bins + 3, dtype=torch.int64, device=target.device)
    for side, law in enumerate((target, draft)):
        sums[:, side].scatter_add_(-1, bin_of, (law * UNIT).long())
    return sums.transpose(1, 2).double() / UNIT


def residual(
    target: Tensor, draft: Tensor, bin_of: Tensor, shares: np.ndarray, rows: Tensor
) -> Tensor:
    """``(n, V)``: the target's mass of n requests less what `win` says that the plan accepts.

    Where nothing is left, the target.
    """
    if target.device.type != "cpu":
        share = torch.as_tensor(shares, device=target.device)[rows]
        per_draft, per_target = (share[:, i].gather(-1, bin_of[rows]) for i in range(2))
        row = target[rows]
        accepted = (per_draft * draft[rows]).addcmul_(per_target, row)
        return or_target(row - accepted.clamp_(min=0).minimum(row), row)
    from spectheory.kernels.binned_residual import binned_residual

    left = np.empty((len(rows), target.shape[-1]))
    laws = (law.numpy() for law in (target, draft, bin_of))
    binned_residual(*laws, shares, rows.numpy(), left)
    return torch.as_tensor(left)


def check_bins(bins: int) -> None:
    """Refuse a number of bins that ratios cannot be mapped to, or whose numbers take more bits.

    Raises:
        InputError: not 32 times a power of 2, or more than 32,768.
    """
    if bins not in {32 << n for n in range(11)}:
        raise InputError(f"`bins` is {bins}; expected 32 times a power of 2, to 32768")


def win(
    masses: np.ndarray, of_drafts: np.ndarray, uniforms: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which draft wins at each request, and what the plan accepts of the tokens of each bin.

    Args:
        masses: ``(B, bins + 3, 2)``, as `histogram` gives them.
        of_drafts: ``(3, B, k)`` float64: target and draft probability and bin of each draft.
        uniforms: ``(B, k + 1)``.
        edges: of `layout`.

    Returns:
        slot: ``(B,)``; k where no score is high enough.
        share: ``(B, 2, bins + 3)``: accepted mass per draft mass and per target mass.
    """
    from spectheory.kernels.score_draws import Pieces, draw_rows
    from spectheory.kernels.score_groups import plan_masses

    target, draft, bin_of = of_drafts
    batch, k = target.shape
    slot, share = np.empty(batch, np.int64), np.empty((batch, 2, masses.shape[1]))
    tokens, one = np.arange(k)[None, :], np.ones(1)  # the residual is drawn elsewhere
    ignored: Any = np.empty(1, np.int64)
    for b in range(batch):
        _, share[b, 0], share[b, 1], group, pieces = plan_masses(masses[b], edges, k)
        above = np.append(group[1:], group[-1])
        plan = Pieces(bin_of[b].astype(np.uint16), group, above, edges, *pieces)
        draw_rows(
            tokens, uniforms[b : b + 1], target[b], draft[b], one, plan, ignored, slot[b : b + 1]
        )
    return slot, share
