"""The k - 1 most probable tokens, fixed, and one draw from the rest."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, namespace
from spectheory.distributions import descending, normalise, rank_descending
from spectheory.drafting.scheme import DraftScheme
from spectheory.verdict import inverse_transform


class GreedyDrafts(DraftScheme):
    """Drafts ``(t_1, .., t_{k-1}, x)``: the top k - 1 tokens T in order, then ``x ~ q`` off T.

    Ties in the draft are broken by token index, so that T is a definite set.

    Reference: hu2025towards, section 4.

    >>> law = GreedyDrafts().law(np.array([0.5, 0.25, 0.25]), 2)
    >>> law.tuples.tolist(), law.probability.tolist()
    ([[0, 1], [0, 2]], [0.5, 0.5])
    """

    key: ClassVar[str] = "greedy"
    reference: ClassVar[str] = "hu2025towards"
    distinct: ClassVar[bool] = True

    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        size = draft.shape[-1]
        fixed = np.asarray(descending(draft))[: k - 1]
        tuples = np.column_stack([np.tile(fixed, (size, 1)), np.arange(size)])
        return tuples, rest_law(draft, k)

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        xp = namespace(draft)
        last = inverse_transform(rest_law(draft, k), uniforms[..., 0])
        fixed = descending(draft)[..., : k - 1]
        fixed = xp.broadcast_to(fixed, (*last.shape, k - 1))
        return xp.concat([fixed, xp.astype(last, fixed.dtype)[..., None]], axis=-1)

    def tape_length(self, k: int) -> int:
        return 1

    def prefix_order(self, target: Array, draft: Array, k: int) -> Array:
        # T is in every draft set, so it comes first; then by the ratio to the law of the last slot.
        order = super().prefix_order(target, rest_law(draft, k), k)
        ranks = namespace(draft).take_along_axis(rank_descending(draft), order, axis=-1)
        first = namespace(draft).argsort(
            namespace(draft).minimum(ranks, ranks * 0 + (k - 1)), axis=-1, stable=True
        )
        return namespace(draft).take_along_axis(order, first, axis=-1)

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        ranks = xp.take_along_axis(rank_descending(draft), order, axis=-1)
        fixed_so_far = xp.cumulative_sum(xp.astype(ranks < k - 1, xp.int64), axis=-1)
        mass = xp.cumulative_sum(xp.take_along_axis(rest_law(draft, k), order, axis=-1), axis=-1)
        return xp.where(fixed_so_far == k - 1, mass, mass * 0)

    def inclusion(self, draft: Array, k: int) -> Array:
        xp = namespace(draft)
        rest = rest_law(draft, k)
        return xp.where(rank_descending(draft) < k - 1, rest * 0 + 1, rest)


def rest_law(draft: Array, k: int) -> Array:
    """Law of the last slot: the draft off its top k - 1 tokens, renormalised; ``(..., V)``."""
    rest = namespace(draft).where(rank_descending(draft) < k - 1, draft * 0, draft)
    return normalise(rest, fallback=draft)
