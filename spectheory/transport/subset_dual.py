"""The value of the optimum, by the dual over subsets of the vocabulary.

By max-flow and min-cut, the largest P(output is a draft) of any lossless rule is

    alpha* = 1 + min over subsets H of [ p(H) - Q(H) ],        Q(H) = P(all drafts lie in H).

For the schemes of this library but one, the minimum is attained on a prefix of a known token order,
so one pass over the sorted vocabulary finds it.
"""

from __future__ import annotations

from spectheory.arrays import Array, namespace
from spectheory.distributions import check_pmf, check_same_vocabulary
from spectheory.drafting.scheme import scheme as draft_scheme


def optimal_value(target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
    """Optimal acceptance by the sorted-prefix dual.

    Args:
        target: ``(..., V)``.
        draft: ``(..., V)``, or ``(..., k, V)`` for ``scheme="heterogeneous"``.
        k: number of drafts.
        scheme: key of the draft scheme.

    Returns:
        ``(...)``. Exact where the scheme's `prefix_exact` is true; for heterogeneous drafts with
        k > 1 an upper bound on the optimum.

    Raises:
        InputError: see `DraftScheme.check`; DistributionError: a law that is none.

    Reference: hu2025towards, Theorem 4 (dual and prefix form).

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(optimal_value(p, q, 2)), 12)
    0.89
    """
    law = draft_scheme(scheme)
    check_same_vocabulary(target, draft)
    check_pmf("target", target)
    law.check(draft, k)
    xp = namespace(target, draft)
    order = law.prefix_order(target, draft, k)
    covered = xp.cumulative_sum(xp.take_along_axis(target, order, axis=-1), axis=-1)
    slack = xp.min(covered - law.prefix_containment(draft, k, order), axis=-1, keepdims=True)
    return (1 + xp.minimum(slack, slack * 0))[..., 0]
