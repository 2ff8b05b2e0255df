"""Batched rejection: one draft of each request, or a whole chain of them in one go."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from spectheory.arrays import capped_ratio
from spectheory.batched.draws import draw, few, or_target
from spectheory.batched.laws import Laws
from spectheory.batched.rule import Kernel, Ladder, LadderRule, check_drafted
from spectheory.errors import ShapeError, VocabularyMismatch


class BatchedRejection(LadderRule):
    """Two gathers a request; a (target, draft) row is read in full only where the draft failed.

    Reference: leviathan2023fast, Theorem 3.5.

    >>> from spectheory.batched.laws import DenseLaws
    >>> p, q = torch.tensor([[0.3, 0.7]]).double(), torch.tensor([[0.6, 0.4]]).double()
    >>> tape = torch.tensor([[0.5, 0.9]]).double()
    >>> draw = BatchedRejection()(DenseLaws(p), DenseLaws(q), torch.tensor([[0]]), tape)
    >>> int(draw.token), int(draw.slot)
    (1, 1)
    """

    key: ClassVar[str] = "rejection"

    def kernel(self) -> Kernel:
        """See `LadderRule.kernel`."""
        from spectheory.kernels.rejection import rejection

        return rejection

    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        accept = capped_ratio(few(target.at(drafts)), few(draft.at(drafts)))

        def residual(failed: Any) -> Tensor:
            p = target[failed].dense()
            return or_target((p - draft[failed].dense()).clamp_(min=0), p)

        return Ladder(accept, residual)


class ChainDraw(NamedTuple):
    """What a step of each request emits.

    Attributes:
        kept: ``(B,)`` number of drafts accepted.
        token: ``(B,)`` the token after them.
    """

    kept: Tensor
    token: Tensor


def verify_chain(
    target: Laws,
    draft: Laws,
    drafts: Tensor,
    uniforms: Tensor,
    lengths: Tensor | None = None,
) -> ChainDraw:
    """Rejection along one chain of drafts a request: all rows at once, law-lossless.

    Draft i is accepted with probability ``min(1, p_i(x_i) / q_i(x_i))``; behind the last accepted
    one the token is drawn from ``(p - q)_+``, or from the target where all were accepted. One row
    of probabilities is made a request.

    Args:
        target: ``(B, n + 1, V)``; row i is the law at draft i.
        draft: ``(B, n, V)``.
        drafts: ``(B, n)`` int64; entries from ``lengths`` on are not read.
        uniforms: ``(B, n + 1, 2)`` float64 in [0, 1): entry 0 of row i decides draft i, entry 1
            of the row that the chain stops at draws its token.
        lengths: ``(B,)`` number of drafts of each request, 0 to n; None for n.

    Raises:
        VocabularyMismatch, ShapeError, ImpossibleDraft: see `BatchedRule`.

    Reference: chen2023accelerating, Algorithm 2.
    """
    batch, most = check_chain(target, draft, drafts, uniforms, lengths)
    if lengths is None:
        lengths = torch.full((batch,), most, device=drafts.device)
    inside = torch.arange(most, device=drafts.device) < lengths[:, None]
    rows = torch.arange(batch, device=drafts.device)
    kept = torch.zeros_like(lengths)
    if most:
        tokens = drafts.where(inside, 0)[..., None]
        p, q = target[:, :most].at(tokens)[..., 0], draft.at(tokens)[..., 0]
        taken = (uniforms[:, :most, 0] < capped_ratio(p, q)) & inside
        kept = taken.long().cumprod(-1).sum(-1)
    law = target[rows, kept].dense()
    failed = (kept < lengths).nonzero()[:, 0]
    mass = law
    if len(failed):
        left = (law[failed] - draft[failed, kept[failed]].dense()).clamp_(min=0)
        mass = law.index_copy(0, failed, or_target(left, law[failed]))
    return ChainDraw(kept, draw(mass, uniforms[rows, kept, 1]))


def check_chain(
    target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor, lengths: Tensor | None
) -> tuple[int, int]:
    """B and n of a chain that can be verified; see `verify_chain`."""
    if target.shape[-1] != draft.shape[-1]:
        raise VocabularyMismatch(
            f"`target` is over {target.shape[-1]} tokens and `draft` over {draft.shape[-1]}; "
            "both need one vocabulary. Different tokenizers, or one padded?"
        )
    if drafts.ndim != 2:
        raise ShapeError(f"`drafts` has shape {tuple(drafts.shape)}; expected (B, n)")
    batch, most = drafts.shape
    if target.shape[:-1] != (batch, most + 1) or draft.shape[:-1] != (batch, most):
        raise ShapeError(
            f"`target` and `draft` have shapes {tuple(target.shape)} and {tuple(draft.shape)} "
            f"beside `drafts` {tuple(drafts.shape)}; expected (B, n + 1, V) and (B, n, V)"
        )
    if uniforms.shape[:2] != (batch, most + 1) or uniforms.shape[2:] not in ((2,), (3,)):
        raise ShapeError(
            f"`uniforms` has shape {tuple(uniforms.shape)}; expected {(batch, most + 1, 2)}"
        )
    read = None
    if lengths is not None:
        if lengths.shape != (batch,) or bool(((lengths < 0) | (lengths > most)).any()):
            raise ShapeError(
                f"`lengths` is {lengths.tolist()}; expected {batch} numbers from 0 to {most}"
            )
        read = (torch.arange(most, device=drafts.device) < lengths[:, None])[..., None]
    check_drafted(draft, drafts[..., None], read)
    return batch, most
