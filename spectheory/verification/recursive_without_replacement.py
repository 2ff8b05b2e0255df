"""Recursive rejection for drafts drawn without replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import (
    Array,
    capped_ratio,
    is_exact,
    namespace,
    pick,
    sum_before,
    sum_behind,
    total,
    without,
)
from spectheory.distributions import normalise, overlap, residual
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class RecursiveWithoutReplacement(VerificationRule):
    """Recursive rejection in which a rejected token also leaves the draft law.

    After rejecting x_i, the target becomes ``(p_i - q_i)_+`` and the draft ``q_i`` off x_i, both
    renormalised: slot i + 1 was drawn from just that law. Acceptance has a closed form for k <= 2;
    above, it is an expectation over the drafts.

    Reference: jeon2024recursive, Algorithm 1; chen2024sequoia, Algorithm 2.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(RecursiveWithoutReplacement().rates(p, q, 2, "without_replacement").ladder), 12)
    0.875
    """

    key: ClassVar[str] = "recursive_without_replacement"
    reference: ClassVar[str] = "jeon2024recursive"
    lossless_under: ClassVar[tuple[str, ...]] = ("without_replacement",)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        left, law = target, draft
        accept = []
        for i in range(drafts.shape[-1]):
            token = drafts[..., i]
            accept.append(capped_ratio(pick(left, token), pick(law, token)))
            left = residual(left, law)
            law = normalise(without(law, token), fallback=law)
        return Verdict(drafts, namespace(target).stack(accept, axis=-1), left)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        if k > 2:
            return None
        first = overlap(target, draft)
        if k == 1:
            return Rates(first, first)
        xp = namespace(target, draft)
        # Rejected on x with mass (q - p)_+(x), then accepted with chance
        # sum_y min(p_2(y), q(y) / (1 - q(x))), where y = x adds nothing, as p_2(x) = 0.
        rejected = draft - xp.minimum(target, draft)
        second = clipped_mass(residual(target, draft), draft, rest_scale(draft))
        ladder = first + total(rejected * second)[..., 0]
        return Rates(ladder, ladder)


def rest_scale(draft: Array) -> Array:
    """``(..., V)``: 1 / (1 - q(x)), the scale once x has gone; 0 where nothing is left.

    What is left is added up without x: for a sharp draft 1 - q(x) would be rounding.
    """
    xp = namespace(draft)
    left = sum_before(draft) + sum_behind(draft)
    positive = left > 0
    return xp.where(positive, 1 / xp.where(positive, left, left * 0 + 1), left * 0)


def clipped_mass(target: Array, draft: Array, scales: Array) -> Array:
    """``sum_y min(p(y), c q(y))`` for each scale c, in O(V log V) a row.

    Args:
        target, draft: ``(..., V)`` with equal batch axes after broadcasting.
        scales: ``(..., n)``, non-negative.

    Returns:
        ``(..., n)``.
    """
    xp = namespace(target, draft)
    batch = draft.shape[:-1] if len(draft.shape) > len(target.shape) else target.shape[:-1]
    if not is_exact(target):
        target, draft, scales = (xp.astype(a, xp.float64) for a in (target, draft, scales))
    rows = [
        xp.reshape(xp.broadcast_to(a, (*batch, a.shape[-1])), (-1, a.shape[-1]))
        for a in (target, draft, scales)
    ]
    sums = []
    for r in range(rows[0].shape[0]):
        p, q, c = rows[0][r, :], rows[1][r, :], rows[2][r, :]
        # p <= c q exactly where the breakpoint p / q (huge where q = 0) is at most c.
        limit = 2 * xp.max(c) + 1
        level = xp.where(q > 0, xp.minimum(p / xp.where(q > 0, q, q * 0 + 1), limit), limit)
        order = xp.argsort(level, stable=True)
        # Of the first n in that order, and of the others, for n = 0 to V.
        below = sum_before(xp.concat([xp.take(p, order), p[:1]]))
        above = sum_behind(xp.concat([q[:1], xp.take(q, order)]))
        cut = xp.searchsorted(xp.take(level, order), c, side="right")
        sums.append(xp.take(below, cut) + c * xp.take(above, cut))
    return xp.reshape(xp.stack(sums), (*batch, scales.shape[-1]))
