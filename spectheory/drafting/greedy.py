"""The k - 1 most probable tokens, fixed, and one draw from the rest."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spectheory.arrays import Array, device_of, is_token, namespace, ratio, running_sum
from spectheory.distributions import normalise
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import ImpossibleDraft
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
        fixed = np.asarray(top_tokens(draft, k - 1))
        tuples = np.column_stack([np.tile(fixed, (size, 1)), np.arange(size)])
        return tuples, rest_law(draft, k)

    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        xp = namespace(draft)
        last = inverse_transform(rest_law(draft, k), uniforms[..., 0])
        fixed = xp.broadcast_to(top_tokens(draft, k - 1), (*last.shape, k - 1))
        return xp.concat([fixed, xp.astype(last, fixed.dtype)[..., None]], axis=-1)

    def check_drafts(self, draft: Array, drafts: Array) -> None:
        super().check_drafts(draft, drafts)
        fixed = top_tokens(draft, drafts.shape[-1] - 1)
        if not bool(namespace(drafts).all(drafts[..., :-1] == fixed)):
            raise ImpossibleDraft(
                "`drafts` does not begin with the most probable tokens of `draft`, in order; "
                f"scheme `{self.key}` fixes them and draws the last token only"
            )

    def tape_length(self, k: int) -> int:
        return 1

    def prefix_order(self, target: Array, draft: Array, k: int) -> Array:
        # T is in every draft set, so it comes first; then by the ratio to the law of the last slot.
        xp = namespace(target, draft)
        rest = rest_law(draft, k)
        both = target + rest
        score = xp.where(both > 0, ratio(target, both), both * 0 + 2)
        return xp.argsort(xp.where(fixed_mask(draft, k), both * 0 - 1, score), axis=-1, stable=True)

    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        xp = namespace(draft)
        fixed = xp.take_along_axis(fixed_mask(draft, k), order, axis=-1)
        fixed_so_far = xp.cumulative_sum(xp.astype(fixed, xp.int64), axis=-1)
        mass = running_sum(xp.take_along_axis(rest_law(draft, k), order, axis=-1))
        return xp.where(fixed_so_far == k - 1, mass, mass * 0)

    def inclusion(self, draft: Array, k: int) -> Array:
        rest = rest_law(draft, k)
        return namespace(draft).where(fixed_mask(draft, k), rest * 0 + 1, rest)


def top_tokens(draft: Array, count: int) -> Array:
    """``(..., count)``: the most probable tokens in order, ties by token index.

    One pass over the vocabulary for each, which beats a sort for the few that are drafted.
    """
    xp = namespace(draft)
    left, found = draft, []
    for _ in range(count):
        found.append(xp.argmax(left, axis=-1))
        left = xp.where(is_token(found[-1], left), left * 0 - 1, left)
    if not found:
        return xp.zeros((*draft.shape[:-1], 0), dtype=xp.int64, **device_of(draft))
    return xp.stack(found, axis=-1)


def fixed_mask(draft: Array, k: int) -> Array:
    """``(..., V)`` mask of the top k - 1 tokens."""
    tokens = top_tokens(draft, k - 1)
    mask = draft < 0
    for i in range(k - 1):
        mask = mask | is_token(tokens[..., i], draft)
    return mask


def rest_law(draft: Array, k: int) -> Array:
    """Law of the last slot: the draft off its top k - 1 tokens, renormalised; ``(..., V)``."""
    rest = namespace(draft).where(fixed_mask(draft, k), draft * 0, draft)
    return normalise(rest, fallback=draft)
