"""The shape that deterministic accept tests share: take the first draft that lies in a set A."""

from __future__ import annotations

from spectheory.arrays import Array, namespace, pick, ratio, total
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates


def first_in_set_verdict(accepted: Array, drafts: Array, residual: Array) -> Verdict:
    """Take the first draft in the accepted set, else draw from ``residual``.

    Args:
        accepted: ``(..., V)`` boolean mask.
        drafts: ``(..., k)``.
        residual: ``(..., V)``.
    """
    xp = namespace(residual)
    indicator = xp.where(accepted, residual * 0 + 1, residual * 0)
    accept = [pick(indicator, drafts[..., i]) for i in range(drafts.shape[-1])]
    return Verdict(drafts, xp.stack(accept, axis=-1), residual)


def first_in_set_law(accepted: Array, draft: Array, k: int, residual: Array) -> Array:
    """``(..., V)`` output law with k i.i.d. drafts: ``q 1_A (1 - m^k) / (1 - m) + m^k r``.

    Here m = 1 - q(A) is the chance that one draft is refused.
    """
    inside = namespace(draft).where(accepted, draft, draft * 0)
    hit = total(inside)
    missed = (1 - hit) ** k
    return ratio(inside, hit + draft * 0) * (1 - missed) + missed * residual


def first_in_set_rates(accepted: Array, draft: Array, k: int, residual: Array) -> Rates:
    """Ladder ``1 - m^k``; acceptance adds a residual draw that lands on a refused draft."""
    xp = namespace(draft)
    outside = xp.where(accepted, draft * 0, draft)
    missed = total(outside)
    refused = ratio(outside, missed + draft * 0)
    lucky = total(residual * (1 - (1 - refused) ** k))[..., 0]
    ladder = 1 - missed[..., 0] ** k
    return Rates(ladder + missed[..., 0] ** k * lucky, ladder)
