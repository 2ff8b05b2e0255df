"""The value of the optimum, by the dual over subsets of the vocabulary.

By max-flow and min-cut, the largest P(output is a draft) of any lossless rule is

    alpha* = 1 + min over subsets H of [ p(H) - Q(H) ],        Q(H) = P(all drafts lie in H).

For the schemes of this library but one, the minimum is attained on a prefix of a known token order,
so one pass over the sorted vocabulary finds it. The objective can have many local minima along the
order: every prefix is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

from spectheory.arrays import Array, is_exact, namespace, sum_behind, total
from spectheory.distributions import check_pmf, check_same_vocabulary, shared_batch
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.scheme import scheme as draft_scheme


class SubsetBound(NamedTuple):
    """The best prefix bound.

    Attributes:
        value: ``(...)`` bound ``1 + p(H) - Q(H)``.
        witness: ``(..., V)`` boolean mask of H; with ties in p/q other subsets attain it too.
    """

    value: Array
    witness: Array


def optimal_value(target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
    """Optimal acceptance by the sorted-prefix dual.

    Args:
        target: ``(..., V)``.
        draft: ``(..., V)``, or ``(..., k, V)`` for ``scheme="heterogeneous"``.
        k: number of drafts.
        scheme: key of the draft scheme.

    Returns:
        ``(...)``. Exact where the scheme's `prefix_exact` is true; for heterogeneous drafts with
        k > 1 an upper bound on the optimum. float64 and float32 laws are divided by their sum in
        float64.

    Raises:
        InputError: see `DraftScheme.check`; DistributionError: a law that is none.

    Reference: hu2025towards, Theorem 4 (dual and prefix form).

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(optimal_value(p, q, 2)), 12)
    0.89
    """
    return best_prefix(target, draft, k, scheme).value


def best_prefix(target: Array, draft: Array, k: int, scheme: str = "iid") -> SubsetBound:
    """The prefix of least bound, as `optimal_value`, with the subset that attains it.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> best_prefix(p, q, 2).witness.tolist()
    [True, True, False]
    """
    law = draft_scheme(scheme)
    check_same_vocabulary(target, draft)
    check_pmf("target", target)
    law.check(draft, k)
    xp = namespace(target, draft)
    if not is_exact(target):
        target, draft = (a / total(a) for a in (xp.astype(a, xp.float64) for a in (target, draft)))
    batch = shared_batch(
        target=tuple(target.shape[:-1]), draft=tuple(draft.shape[: draft.ndim - 1 - law.per_slot])
    )
    target = xp.broadcast_to(target, (*batch, target.shape[-1]))
    draft = xp.broadcast_to(draft, (*batch, *draft.shape[draft.ndim - 1 - law.per_slot :]))
    order = law.prefix_order(target, draft, k)
    covered = xp.cumulative_sum(xp.take_along_axis(target, order, axis=-1), axis=-1)
    slack = covered - 1 + _missed(law, draft, k, order)
    best = xp.min(slack, axis=-1, keepdims=True)
    place = xp.argmax(xp.astype(slack == best, xp.int64), axis=-1, keepdims=True)
    # The empty set has slack 0; it wins ties, being the smallest minimiser.
    length = xp.where(best < 0, place + 1, place * 0)
    rank = xp.argsort(order, axis=-1)
    return SubsetBound((1 + xp.minimum(best, best * 0))[..., 0], rank < length)


def _missed(law: DraftScheme, draft: Array, k: int, order: Array) -> Array:
    """``1 - Q`` of every prefix: the probability that some draft lies outside.

    For i.i.d. drafts it is formed from the mass outside, ``1 - (1 - s)^k``, so that a prefix that
    holds nearly everything loses no digits.
    """
    if law.key != "iid" or is_exact(draft):
        return 1 - law.prefix_containment(draft, k, order)
    xp = namespace(draft)
    outside = sum_behind(xp.take_along_axis(draft, order, axis=-1))
    # (rounding can leave it a hair above 1; it is 1 where the draft begins with tokens of mass 0)
    outside = xp.minimum(outside, outside * 0 + 1)
    whole = outside == 1
    kept = xp.where(whole, outside * 0, outside)
    return xp.where(whole, outside * 0 + 1, -xp.expm1(k * xp.log1p(-kept)))
