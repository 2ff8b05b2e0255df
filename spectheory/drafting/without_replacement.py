"""Sequential draws without replacement: the Plackett-Luce law."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, is_exact, namespace, running_sum, total, without
from spectheory.drafting.scheme import DraftScheme, all_tuples, exact_prefix_containment
from spectheory.verdict import inverse_transform


class DraftsWithoutReplacement(DraftScheme):
    """k distinct tokens, each from the draft renormalised off the earlier ones.

    ``P(x_1..x_k) = prod_i q(x_i) / (1 - q(x_1) - .. - q(x_{i-1}))``: the law of
    ``torch.multinomial(replacement=False)``, of an exponential race and of Gumbel-top-k.

    Reference: kool2019stochastic, section 2.3.

    >>> DraftsWithoutReplacement().law(np.array([0.5, 0.25, 0.25]), 2).probability.round(4).tolist()
    [0.25, 0.25, 0.1667, 0.0833, 0.1667, 0.0833]
    """

    key: ClassVar[str] = "without_replacement"
    reference: ClassVar[str] = "kool2019stochastic"
    distinct: ClassVar[bool] = True

    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        xp = namespace(draft)
        size = draft.shape[-1]
        tuples = all_tuples(size, k)
        probability, left = draft[:1] * 0 + 1, draft[None, :]  # of tuples of the first i tokens
        for i in range(k):
            mass = total(left)
            # A tuple of mass 0 so far may leave nothing to draw from; it keeps mass 0.
            share = left / xp.where(mass > 0, mass, mass * 0 + 1)
            probability = xp.reshape(probability[:, None] * share, (-1,))
            if i + 1 < k:
                left = xp.reshape(without(left[:, None, :], xp.arange(size)), (-1, size))
        return tuples, probability

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        drafts = []
        left = draft
        for i in range(k):
            drafts.append(inverse_transform(left, uniforms[..., i]))
            left = without(left, drafts[-1])
        return namespace(draft).stack(drafts, axis=-1)

    def tape_length(self, k: int) -> int:
        return k

    def inclusion(self, draft: Array, k: int) -> Array | None:
        return draft if k == 1 else None

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        if k == 1:
            return running_sum(xp.take_along_axis(draft, order, axis=-1))
        if is_exact(draft):
            rows = draft.reshape(-1, draft.shape[-1]), order.reshape(-1, order.shape[-1])
            exact = [exact_prefix_containment(self, q, k, o) for q, o in zip(*rows, strict=True)]
            return np.stack(exact).reshape(draft.shape)
        from spectheory.kernels.race import prefix_containment

        ranked = np.asarray(xp.take_along_axis(draft, order, axis=-1), dtype=np.float64)
        return xp.asarray(prefix_containment(ranked, k))


def distinct_tuples(size: int, k: int) -> np.ndarray:
    """``(n, k)``: every tuple of k different tokens out of ``size``."""
    tuples = all_tuples(size, k)
    ranked = np.sort(tuples, axis=-1)
    return tuples[np.all(ranked[:, 1:] != ranked[:, :-1], axis=-1)]
