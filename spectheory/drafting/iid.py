"""Independent draws with replacement from one draft law."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, namespace, pick, running_sum
from spectheory.drafting.scheme import DraftScheme, all_tuples
from spectheory.verdict import inverse_transform


class IndependentDrafts(DraftScheme):
    """k i.i.d. tokens from the draft: ``P(x_1..x_k) = prod_i q(x_i)``; repeats may occur.

    Reference: sun2023spectr, section 3.

    >>> IndependentDrafts().law(np.array([0.5, 0.5]), 2).probability.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    key: ClassVar[str] = "iid"
    reference: ClassVar[str] = "sun2023spectr"

    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        tuples = all_tuples(draft.shape[-1], k)
        xp = namespace(draft)
        return tuples, xp.prod(pick(draft[None, :], xp.asarray(tuples.T)), axis=0)

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        if draft.ndim == 1:
            return inverse_transform(draft, uniforms)
        xp = namespace(draft)
        return xp.stack([inverse_transform(draft, uniforms[..., i]) for i in range(k)], axis=-1)

    def tape_length(self, k: int) -> int:
        return k

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        return running_sum(xp.take_along_axis(draft, order, axis=-1)) ** k

    def inclusion(self, draft: Array, k: int) -> Array:
        return 1 - (1 - draft) ** k
