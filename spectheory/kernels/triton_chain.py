"""Triton: rejection along a chain of drafts, one program a request."""

# mypy: disable-error-code="no-untyped-def"
# (Triton knows the types of arguments when a kernel is launched)

from __future__ import annotations

import triton
import triton.language as tl

from spectheory.kernels.triton_rows import law


@triton.jit
def walk(
    target, target_laws, draft, draft_laws, drafts, uniforms, lengths, rows, kept,
    size, most, width,
    DTYPE: tl.constexpr,
):  # fmt: skip
    """How many of a request's drafts are accepted, and the rows that its token is drawn from.

    Draft i is taken if its uniform is strictly below ``min(1, p / q)``. ``drafts`` is
    ``(B, most)``; ``uniforms`` is ``(B, most + 1, width)``, its entry 0 for the accept test.
    """
    b = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + b)
    count = length * 0
    going = length >= 0
    for i in range(0, most):
        going = going & (i < length)
        token = tl.load(drafts + b * most + i, mask=going, other=0)
        p = law(target, target_laws, b * (most + 1) + i, token, going, size, DTYPE)
        q = law(draft, draft_laws, b * most + i, token, going, size, DTYPE)
        uniform = tl.load(uniforms + (b * (most + 1) + i) * width)
        ratio = (p / tl.where(q > 0, q, 1.0)).to(tl.float64)
        going = going & ((p >= q) | (uniform < ratio))
        count += going.to(tl.int64)
    tl.store(kept + b, count)
    tl.store(rows + b * 3, b * (most + 1) + count)
    tl.store(rows + b * 3 + 1, b * most + tl.minimum(count, most - 1))
    tl.store(rows + b * 3 + 2, (count < length).to(tl.int64))
