"""Priority orders: output the draft that ranks highest. Their laws are the vertices of all rules.

Rank the vocabulary and always output the highest-ranked draft. The law of that token is a base of
the coverage function f(H) = P(some draft lies in H); these laws are the vertices of the set B(f) of
everything that picking one of the drafts can achieve.

An order is written lowest priority first, so that its prefixes are the subsets H of the dual: the
token of rank j is output with probability Q(first j + 1 tokens) - Q(first j tokens).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.drafting.scheme import DraftScheme


def order_base(scheme: DraftScheme, draft: Array, k: int, order: np.ndarray) -> Array:
    """Law of the highest-ranked draft, by rank.

    For i.i.d. drafts, ``b_j = s_j^k (1 - (1 - q_j / s_j)^k)`` with s_j the draft mass up to rank j:
    no number near 1 is subtracted. Without replacement: `spectheory.kernels.race`. Otherwise the
    difference of the scheme's prefix containments, which is exact on Fractions.

    Args:
        scheme: the draft scheme.
        draft: ``(..., V)``, or ``(..., k, V)`` for a per-slot scheme; float64 or ``Fraction``.
        k: number of drafts.
        order: ``(..., V)`` permutation of the tokens, lowest priority first.

    Returns:
        ``(..., V)`` non-negative; entry j belongs to the token of rank j.

    Reference: edmonds1970submodular (greedy vertices of a polymatroid).

    >>> from spectheory.drafting.scheme import scheme
    >>> order_base(scheme("iid"), np.array([0.5, 0.5]), 2, np.array([1, 0])).tolist()
    [0.25, 0.75]
    """
    if is_exact(draft):
        return _increments(scheme.prefix_containment(draft, k, order))
    if scheme.key == "without_replacement":
        from spectheory.kernels.race import prefix_bases

        return prefix_bases(np.take_along_axis(draft, order, axis=-1), [k])[0]
    if scheme.key == "iid":
        ranked = np.take_along_axis(draft, order, axis=-1)
        through = np.cumsum(ranked, axis=-1)
        share = np.divide(ranked, through, out=np.zeros_like(ranked), where=through > 0)
        last = share >= 1  # the first token of positive mass; log1p would warn
        missed = np.log1p(-np.where(last, 0.0, share))
        return through**k * np.where(last, 1.0, -np.expm1(k * missed))
    return _increments(scheme.prefix_containment(draft, k, order))


def base_of_order(scheme: DraftScheme, draft: Array, k: int) -> Callable[[np.ndarray], Array]:
    """The function from an order to the law of its highest-ranked draft, by token.

    For one position and many orders: what does not depend on the order is computed once.

    Args:
        scheme: the draft scheme.
        draft: ``(V,)``, or ``(k, V)`` for a per-slot scheme; NumPy float64 or ``Fraction``.
        k: number of drafts.

    >>> from spectheory.drafting.scheme import scheme
    >>> base = base_of_order(scheme("without_replacement"), np.array([0.5, 0.25, 0.25]), 2)
    >>> base(np.array([1, 2, 0])).round(12).tolist()
    [0.833333333333, 0.0, 0.166666666667]
    """
    if scheme.key == "without_replacement" and not is_exact(draft):
        from spectheory.kernels.race import Race

        return Race.of(draft, k).base

    def base(order: np.ndarray) -> Array:
        by_token = np.empty(order.shape, dtype=draft.dtype)
        by_token[order] = order_base(scheme, draft, k, order)
        return by_token

    return base


def _increments(values: Array) -> Array:
    return np.concatenate([values[..., :1], values[..., 1:] - values[..., :-1]], axis=-1)
