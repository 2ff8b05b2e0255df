"""Triton: laws read from logits, and draws from a residual row, the vocabulary split across blocks.

A row's law is five float64 numbers beside its logits: temperature, largest logit, mass, threshold
and last index kept at the threshold. Sums over a row are made tile by tile and merged in a fixed
order, so a draw does not depend on how blocks were scheduled.
"""

# mypy: disable-error-code="no-untyped-def"
# (Triton knows the types of arguments when a kernel is launched)

from __future__ import annotations

import triton
import triton.language as tl

FIELDS = tl.constexpr(5)
"""Numbers a row."""


@triton.jit
def law(logits, laws, row, token, inside, size, DTYPE: tl.constexpr):
    """Probability of tokens under a row's law; 0 where not ``inside``."""
    at = laws + row * FIELDS
    raw = tl.load(logits + row * size + token, mask=inside, other=float("-inf"))
    heat, highest = tl.load(at).to(DTYPE), tl.load(at + 1).to(DTYPE)
    mass, last = tl.load(at + 2).to(DTYPE), tl.load(at + 4)
    threshold = tl.load(at + 3).to(raw.dtype)
    probability = tl.exp((raw.to(DTYPE) - highest) / heat) / mass
    kept = (raw > threshold) | ((raw == threshold) & (token <= last))
    return tl.where(kept & inside, probability, 0.0)


@triton.jit
def tile_sums(logits, laws, sums, size, tiles, TILE: tl.constexpr, DTYPE: tl.constexpr):
    """Largest logit of each tile, and its sum of weights relative to that: ``(rows, tiles, 2)``.

    Nothing is truncated; a NaN reaches the sum, though not the largest.
    """
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = tile * TILE + tl.arange(0, TILE)
    raw = tl.load(logits + row * size + token, mask=token < size, other=float("-inf"))
    highest = tl.max(raw.to(DTYPE), 0)
    base = tl.where(highest > float("-inf"), highest, 0.0)
    weights = tl.exp((raw.to(DTYPE) - base) / tl.load(laws + row * FIELDS).to(DTYPE))
    mass = tl.sum(weights.to(tl.float64), 0)
    out = sums + (row * tiles + tile) * 2
    tl.store(out, highest.to(tl.float64))
    tl.store(out + 1, mass)


@triton.jit
def merge(sums, laws, tiles, TILES: tl.constexpr):
    """Fill in a row's largest logit and mass from those of its tiles."""
    row = tl.program_id(0).to(tl.int64)
    tile = tl.arange(0, TILES)
    own = sums + (row * tiles + tile) * 2
    highest = tl.load(own, mask=tile < tiles, other=float("-inf"))
    mass = tl.load(own + 1, mask=tile < tiles, other=0.0)
    top = tl.max(highest, 0)
    at = laws + row * FIELDS
    share = mass * tl.exp((highest - top) / tl.load(at))
    tl.store(at + 1, top)
    tl.store(at + 2, tl.sum(share, 0))


@triton.jit
def ratio_bin(p, q, shift, base, bins):
    """Bin of the ratio p/q, as `ratio_histogram` numbers them; p and q are float64."""
    ratio = p / tl.where(q > 0, q, 1.0) + 0.0
    key = (ratio.to(tl.int64, bitcast=True) >> shift) - base
    key = tl.minimum(tl.maximum(key, 0), bins + 1)
    return tl.where(q > 0, key, bins + 2)


@triton.jit
def left_over(p, q, share, inside, shift, base, bins, SCORES: tl.constexpr):
    """Target mass that is not accepted: ``(p - q)_+``, or what a score plan leaves.

    ``share`` holds the accepted mass per draft mass of each bin, then that per target mass.
    """
    p, q = p.to(tl.float64), q.to(tl.float64)
    if SCORES:
        key = ratio_bin(p, q, shift, base, bins)
        per_draft = tl.load(share + key, mask=inside, other=0.0)
        per_target = tl.load(share + bins + 3 + key, mask=inside, other=0.0)
        return p - tl.minimum(tl.maximum(per_draft * q + per_target * p, 0.0), p)
    return tl.maximum(p - q, 0.0)


@triton.jit
def residual_sums(
    target, target_laws, draft, draft_laws, rows, share, sums,
    size, tiles, shift, base, bins,
    SCORES: tl.constexpr, TILE: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Residual and target mass of each tile of a request: ``(B, tiles, 2)``.

    ``rows`` is ``(B, 3)``: the request's target row, its draft row, and whether its drafts failed;
    if they did not, nothing is taken off the target.
    """
    b, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = tile * TILE + tl.arange(0, TILE)
    inside = token < size
    failed = token < tl.load(rows + b * 3 + 2) * size
    p = law(target, target_laws, tl.load(rows + b * 3), token, inside, size, DTYPE)
    q = law(draft, draft_laws, tl.load(rows + b * 3 + 1), token, failed, size, DTYPE)
    own = share + b * 2 * (bins + 3)
    left = left_over(p, q, own, inside, shift, base, bins, SCORES)
    out = sums + (b * tiles + tile) * 2
    tl.store(out, tl.sum(left, 0))
    tl.store(out + 1, tl.sum(p.to(tl.float64), 0))


@triton.jit
def first_above(mass, uniform, SIZE: tl.constexpr):
    """Entry whose interval of the cumulative mass holds the uniform, and the uniform's rest in it.

    Prefix sums made in parallel need not be monotone, so an entry must have mass of its own; where
    rounding leaves none above, the last with mass is taken.
    """
    entry = tl.arange(0, SIZE)
    through = tl.cumsum(mass, 0)
    goal = uniform * tl.sum(mass, 0)
    found = tl.min(tl.where((mass > 0) & (through > goal), entry, SIZE), 0)
    last = tl.max(tl.where(mass > 0, entry, 0), 0)
    found = tl.minimum(found, last)
    own = tl.sum(tl.where(entry == found, mass, 0.0), 0)
    before = tl.sum(tl.where(entry == found, through, 0.0), 0) - own
    rest = (goal - before) / tl.where(own > 0, own, 1.0)
    return found, tl.minimum(tl.maximum(rest, 0.0), 1.0)


@triton.jit
def residual_draw(
    target, target_laws, draft, draft_laws, rows, share, sums, uniforms, tokens,
    size, tiles, shift, base, bins,
    INDEPENDENT: tl.constexpr, SCORES: tl.constexpr,
    TILES: tl.constexpr, TILE: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """A request's token: first its tile, then, reading that tile again, the token in it.

    ``uniforms`` is ``(B, 2)``. The tile is drawn by the first; the token by the second if
    ``INDEPENDENT``, else by what the first has left over in its tile. An empty residual is
    replaced by the target.
    """
    b = tl.program_id(0).to(tl.int64)
    tile = tl.arange(0, TILES)
    own = sums + (b * tiles + tile) * 2
    left = tl.load(own, mask=tile < tiles, other=0.0)
    whole = tl.load(own + 1, mask=tile < tiles, other=0.0)
    empty = tl.max(left, 0) <= 0
    found, rest = first_above(tl.where(empty, whole, left), tl.load(uniforms + b * 2), TILES)
    if INDEPENDENT:
        rest = tl.load(uniforms + b * 2 + 1)
    token = found * TILE + tl.arange(0, TILE)
    inside = token < size
    failed = token < tl.load(rows + b * 3 + 2) * size
    p = law(target, target_laws, tl.load(rows + b * 3), token, inside, size, DTYPE)
    q = law(draft, draft_laws, tl.load(rows + b * 3 + 1), token, failed, size, DTYPE)
    shares = share + b * 2 * (bins + 3)
    mass = left_over(p, q, shares, inside, shift, base, bins, SCORES)
    index, _ = first_above(tl.where(empty, p.to(tl.float64), mass), rest, TILE)
    tl.store(tokens + b, (found * TILE + index).to(tl.int64))
