"""Triton: histogram of the likelihood ratio, for the optimal rule of i.i.d. drafts."""

# mypy: disable-error-code="no-untyped-def"
# (Triton knows the types of arguments when a kernel is launched)

from __future__ import annotations

import triton
import triton.language as tl

from spectheory.kernels.triton_rows import law, ratio_bin


@triton.jit
def ratio_sums(
    target, target_laws, draft, draft_laws, sums,
    size, shift, base, bins, unit,
    TILE: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Add a tile's target and draft mass to the bins of its request: ``(B, 2, bins + 3)`` int64.

    Masses are integers of ``1 / unit``, so the sums do not depend on the order of the atomics.
    """
    b, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = tile * TILE + tl.arange(0, TILE)
    inside = token < size
    p = law(target, target_laws, b, token, inside, size, DTYPE).to(tl.float64)
    q = law(draft, draft_laws, b, token, inside, size, DTYPE).to(tl.float64)
    key = ratio_bin(p, q, shift, base, bins)
    own = sums + b * 2 * (bins + 3)
    tl.atomic_add(own + key, (p * unit).to(tl.int64), mask=inside & (p > 0))
    tl.atomic_add(own + bins + 3 + key, (q * unit).to(tl.int64), mask=inside & (q > 0))
