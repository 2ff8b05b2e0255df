"""The chain rule and the optimal i.i.d. rule by Triton kernels: same calls, same tape.

Nothing of a vocabulary's size is written: rows are read as logits, a tile a block, once for their
sums and once where a residual is needed. The kernels run on CUDA, and anywhere in Triton's
interpreter (``TRITON_INTERPRET=1`` before its first import), which is for tests.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectheory.batched.laws import LogitLaws
from spectheory.batched.optimal_iid import UNIT, check_bins, win
from spectheory.batched.rejection import ChainDraw, check_chain, verify_chain
from spectheory.batched.rule import batched_rule, check
from spectheory.errors import InputError
from spectheory.verdict import Draw

TILE = 1024
"""Tokens a block."""


def weigh(
    logits: Tensor, temperature: float | Tensor = 1.0, dtype: torch.dtype = torch.float32
) -> LogitLaws:
    """The laws of contiguous ``(..., V)`` logits, untruncated: one pass, (max, sum) pairs merged.

    Args:
        logits: ``(..., V)``; ``-inf`` masks a token.
        temperature: a number, or a tensor that broadcasts to ``(...)``.
        dtype: of the probabilities.

    Raises:
        InputError: a temperature that is not positive, NaN or ``+inf`` logits, or a row all masked.
    """
    from spectheory.kernels.triton_rows import merge, tile_sums

    given = torch.as_tensor(temperature, dtype=torch.float64, device=logits.device)
    if not bool((given > 0).all()):
        raise InputError(f"`temperature` is {given.min().item():g}; expected numbers > 0")
    shape = (*logits.shape[:-1], 1)
    rows, size = logits.shape[:-1].numel(), logits.shape[-1]
    laws = torch.tensor([1, 0, 1, -torch.inf, size], dtype=torch.float64)
    laws = laws.to(logits.device).repeat(rows, 1)
    laws[:, 0] = given.expand(logits.shape[:-1]).reshape(-1)
    tiles = _tiles(size)
    sums = torch.empty(rows, tiles, 2, dtype=torch.float64, device=logits.device)
    flat = logits.contiguous()
    tile_sums[(rows, tiles)](flat, laws, sums, size, tiles, TILE=TILE, DTYPE=_triton(dtype))
    merge[(rows,)](sums, laws, tiles, TILES=_power_of_two(tiles))
    if not bool(torch.isfinite(laws[:, 1:3]).all()):
        raise InputError("`logits` holds NaN or +inf, or a row where every token is masked")
    heat, highest, mass = (laws[:, i].to(dtype).reshape(shape) for i in range(3))
    return LogitLaws(flat, heat, highest, mass)


def verify_chain_on_device(
    target: LogitLaws,
    draft: LogitLaws,
    drafts: Tensor,
    uniforms: Tensor,
    lengths: Tensor | None = None,
) -> ChainDraw:
    """`rejection.verify_chain` in three kernels.

    Args:
        target, draft, drafts, lengths: as there.
        uniforms: as there, or ``(B, n + 1, 3)``: entry 1 then draws the tile of the token, and
            entry 2, independent of it, the token in the tile.

    Raises:
        VocabularyMismatch, ShapeError, ImpossibleDraft: see `BatchedRule`.
    """
    from spectheory.kernels.triton_chain import walk

    batch, most = check_chain(target, draft, drafts, uniforms, lengths)
    if most == 0:
        return verify_chain(target, draft, drafts, uniforms, lengths)
    if lengths is None:
        lengths = torch.full((batch,), most, device=drafts.device)
    pair = _Pair(target, draft)
    rows = torch.empty(batch, 3, dtype=torch.int64, device=drafts.device)
    kept = torch.empty_like(lengths)
    tape = uniforms.contiguous()
    walk[(batch,)](
        *pair.pointers, drafts.contiguous(), tape, lengths, rows, kept,
        pair.size, most, tape.shape[-1], DTYPE=pair.dtype,
    )  # fmt: skip
    own = tape[torch.arange(batch, device=kept.device), kept, 1:]
    return ChainDraw(kept, pair.residual(rows, own, tape.shape[-1] == 3))


def optimal_iid_on_device(
    target: LogitLaws, draft: LogitLaws, drafts: Tensor, uniforms: Tensor, bins: int = 2048
) -> Draw:
    """`BatchedOptimalIid` with the rows' passes as kernels; the bins are planned on the host.

    Args:
        target, draft, drafts: as for `BatchedRule`.
        uniforms: as there, or ``(B, k + 2)``: entry k then draws the tile of a token that is no
            draft, and entry k + 1, independent of it, the token in the tile.
        bins: as for `BatchedOptimalIid`.

    Raises:
        VocabularyMismatch, ShapeError, ImpossibleDraft: see `BatchedRule`.
        InputError: see `check_bins`.
    """
    from spectheory.kernels.ratio_histogram import layout
    from spectheory.kernels.triton_score import ratio_sums

    check_bins(bins)
    (batch, k), device = drafts.shape, drafts.device
    independent = uniforms.shape[-1] == k + 2
    tape = uniforms[..., :-1].contiguous() if independent else uniforms
    check(batched_rule("optimal_iid").definition, target, draft, drafts, tape)
    shift, base, edges = layout(k, bins)
    pair = _Pair(target, draft)
    sums = torch.zeros(batch, 2, bins + 3, dtype=torch.int64, device=device)
    ratio_sums[(batch, pair.tiles)](
        *pair.pointers, sums, pair.size, shift, base, bins, UNIT, TILE=TILE, DTYPE=pair.dtype
    )
    p, q = (laws.at(drafts).double() for laws in (target, draft))
    key = (((p / q).view(torch.int64) >> shift) - base).clamp(0, bins + 1)
    slots, shares = win(
        (sums.transpose(1, 2).double() / UNIT).cpu().numpy(),
        torch.stack([p, q, key.double()]).cpu().numpy(),
        tape.cpu().numpy(),
        edges,
    )
    slot = torch.as_tensor(slots, device=device)
    token = drafts.gather(-1, slot.clamp(max=k - 1)[:, None])[:, 0]
    failed = (slot == k).nonzero()[:, 0]
    if len(failed):
        rows = torch.stack([failed, failed, torch.ones_like(failed)], -1)
        share = torch.as_tensor(shares, device=device)[failed].contiguous()
        plan = share, shift, base, bins
        token[failed] = pair.residual(rows, uniforms[failed, k:], independent, plan)
    return Draw(token, slot)


class _Pair:
    """Target and draft rows as the kernels read them."""

    def __init__(self, target: LogitLaws, draft: LogitLaws) -> None:
        self.size = target.shape[-1]
        self.tiles = _tiles(self.size)
        self.dtype = _triton(target.highest.dtype)
        self.pointers = tuple(
            part for laws in (target, draft) for part in (laws.logits.contiguous(), _fields(laws))
        )

    def residual(
        self,
        rows: Tensor,
        uniforms: Tensor,
        independent: bool,
        plan: tuple[Tensor, int, int, int] | None = None,
    ) -> Tensor:
        """``(n,)`` tokens from the rows' residuals; ``plan`` is what a score plan accepts."""
        from spectheory.kernels.triton_rows import residual_draw, residual_sums

        count, device = len(rows), rows.device
        sums = torch.empty(count, self.tiles, 2, dtype=torch.float64, device=device)
        tokens = torch.empty(count, dtype=torch.int64, device=device)
        share, *grid = plan if plan is not None else (sums, 0, 0, 0)
        scores: dict[str, Any] = {"SCORES": plan is not None, "TILE": TILE, "DTYPE": self.dtype}
        residual_sums[(count, self.tiles)](
            *self.pointers, rows, share, sums, self.size, self.tiles, *grid, **scores
        )
        pair = torch.cat([uniforms, uniforms], -1)[:, :2].contiguous()
        residual_draw[(count,)](
            *self.pointers, rows, share, sums, pair, tokens, self.size, self.tiles, *grid,
            INDEPENDENT=independent, TILES=_power_of_two(self.tiles), **scores,
        )  # fmt: skip
        return tokens


def _fields(laws: LogitLaws) -> Tensor:
    """``(rows, 5)`` float64 numbers of the rows, in the kernels' order."""
    size = laws.shape[-1]
    threshold = laws.threshold
    whole = torch.full_like(laws.highest, -torch.inf)
    last = laws.last if laws.last is not None else torch.full_like(laws.highest, size)
    parts = (laws.temperature, laws.highest, laws.mass, whole if threshold is None else threshold)
    return torch.cat([part.double() for part in (*parts, last)], -1).reshape(-1, 5).contiguous()


def _tiles(size: int) -> int:
    return -(-size // TILE)


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _triton(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]
