"""One draft model a slot: k independent draws from k different laws."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, namespace, pick, running_sum
from spectheory.drafting.scheme import DraftScheme, all_tuples
from spectheory.verdict import inverse_transform


class HeterogeneousDrafts(DraftScheme):
    """k independent tokens, token i from its own law: ``P(x_1..x_k) = prod_i q_i(x_i)``.

    The draft is ``(..., k, V)``. Prefixes of the mean-ratio order bound the optimum from above but
    need not attain it, so `prefix_exact` is false.

    Reference: miao2024specinfer, section 4.

    >>> draft = np.array([[0.5, 0.5], [0.0, 1.0]])
    >>> HeterogeneousDrafts().law(draft, 2).tuples.tolist()
    [[0, 1], [1, 1]]
    """

    key: ClassVar[str] = "heterogeneous"
    reference: ClassVar[str] = "miao2024specinfer"
    prefix_exact: ClassVar[bool] = False
    per_slot: ClassVar[bool] = True

    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        tuples = all_tuples(draft.shape[-1], k)
        xp = namespace(draft)
        return tuples, xp.prod(pick(draft[:, None, :], xp.asarray(tuples.T)), axis=0)

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        return inverse_transform(draft, uniforms)

    def tape_length(self, k: int) -> int:
        return k

    def prefix_order(self, target: Array, draft: Array, k: int) -> Array:
        return super().prefix_order(target, namespace(draft).sum(draft, axis=-2) / k, k)

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        ranked = xp.take_along_axis(draft, order[..., None, :], axis=-1)
        return xp.prod(running_sum(ranked), axis=-2)

    def inclusion(self, draft: Array, k: int) -> Array:
        return 1 - namespace(draft).prod(1 - draft, axis=-2)
