"""Independent draws, conditioned on being all different."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import (
    Array,
    constant,
    device_of,
    is_exact,
    namespace,
    on_host,
    pick,
    places,
    running_sum,
    sum_before,
    sum_behind,
    total,
)
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.without_replacement import distinct_tuples
from spectheory.verdict import inverse_transform


class DistinctDrafts(DraftScheme):
    """``P(x_1..x_k)`` proportional to ``prod_i q(x_i)`` on tuples of different tokens.

    A set law by weights ``prod q`` (conditional Bernoulli), not the Plackett-Luce law of
    sequential draws: the first draft's marginal is not q.

    Reference: chen1994weighted, section 2.

    >>> DistinctDrafts().law(np.array([0.5, 0.25, 0.25]), 2).probability.round(4).tolist()
    [0.2, 0.2, 0.2, 0.1, 0.2, 0.1]
    """

    key: ClassVar[str] = "distinct"
    reference: ClassVar[str] = "chen1994weighted"
    distinct: ClassVar[bool] = True

    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        xp = namespace(draft)
        tuples = distinct_tuples(draft.shape[-1], k)
        if not len(tuples):
            return tuples, draft[:0]
        mass = _products(pick(draft[None, :], xp.asarray(tuples.T)))
        return tuples, mass / xp.sum(mass)

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        """Least probable member first, by suffix symmetric sums, then a random order.

        Of tokens by ascending probability, what stands after one holds nearly all of a symmetric
        sum or nothing of it, so the sums of a peaked draft stay within a float's range.
        """
        xp = namespace(draft)
        order = xp.argsort(draft, axis=-1, stable=True)
        ranked = xp.take_along_axis(draft, order, axis=-1)
        ranks = places(draft)
        start = xp.zeros_like(uniforms[..., 0], dtype=xp.int64) - 1
        chosen = []
        for i, suffix in enumerate(reversed(_suffix_sums(ranked, k))):
            mass = xp.where(ranks > start[..., None], ranked * suffix, ranked * 0)
            start = inverse_transform(mass, uniforms[..., i])
            chosen.append(pick(order, start))
        drafts = xp.stack(chosen, axis=-1)
        # Fisher-Yates on the slots, one uniform each, makes the order exchangeable.
        slots = xp.arange(k, **device_of(draft))
        for i in range(k - 1):
            other = i + xp.astype(xp.floor(uniforms[..., k + i] * (k - i)), xp.int64)
            other = xp.minimum(other, other * 0 + k - 1)[..., None]
            at_other = xp.take_along_axis(drafts, other, axis=-1)
            at_i = drafts[..., i : i + 1]
            swapped = xp.where(slots == other, at_i, drafts)
            drafts = xp.where(slots == i, at_other, swapped)
        return drafts

    def tape_length(self, k: int) -> int:
        return 2 * k - 1

    def inclusion(self, draft: Array, k: int) -> Array | None:
        return draft if k == 1 else None

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        ranked = xp.take_along_axis(draft, order, axis=-1)
        if not is_exact(draft):
            from spectheory.kernels.symmetric_sums import log_symmetric_sums

            logs = log_symmetric_sums(on_host(ranked), k)[-1]
            return constant(np.exp(logs - logs[..., -1:]), draft)
        before = ranked * 0 + 1  # symmetric sum of degree j over tokens strictly before
        for _ in range(k - 1):
            before = sum_before(ranked * before)
        through = running_sum(ranked * before)
        return through / through[..., -1:]


def _products(factors: Array) -> Array:
    """Products over the first axis, up to a common factor that keeps the largest in range."""
    xp = namespace(factors)
    if is_exact(factors):
        return xp.prod(factors, axis=0)
    positive = xp.all(factors > 0, axis=0)
    logs = xp.sum(xp.log(xp.where(factors > 0, factors, factors * 0 + 1)), axis=0)
    highest = xp.max(xp.where(positive, logs, logs * 0 - xp.inf))
    return xp.where(positive, xp.exp(logs - highest), logs * 0)


def _suffix_sums(draft: Array, k: int) -> list[Array]:
    """Entry j: elementary symmetric sum of degree j over the tokens after each one, rescaled."""
    sums = [draft * 0 + 1]
    for _ in range(k - 1):
        here = draft * sums[-1]
        sums.append(sum_behind(here) / total(here))
    return sums
