"""The optimal base of smallest divergence: which draft to pick before one rejection step.

Every lossless rule is "pick one draft, of law b, then accept it with probability min(1, p / b)".
Many b attain the optimal acceptance ``sum min(b, p)``. This one is the default because it minimises
every f-divergence between b and p at the same time (total variation, Kullback-Leibler, chi-square):
it is the least majorised base relative to p, Fujishige's lexicographically optimal base. So it is
optimal for whatever is done with the picked token after this step, it is unique where p > 0, and it
depends continuously on the laws.
"""

from __future__ import annotations

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import check_pmf, check_same_vocabulary, shared_batch
from spectheory.drafting.greedy import fixed_mask, rest_law
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.errors import SchemeMismatch
from spectheory.transport.order_base import order_base


def optimal_base(target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
    """The minimal-divergence optimal base, by a lower convex hull.

    Rank the tokens by descending p/q and draw the points (p(first j), f(first j)), f(H) the
    probability that some draft lies in H. On a face of slope c of the lower convex hull,
    ``b = c p``. Hull slopes are the isotonic regression of ``b_order / p`` with weights p, so the
    cost is that of the sort, O(V log V). For greedy drafts, ``b = min(r, c p)`` off the fixed
    tokens and ``c p`` on them, with r the law of the last slot and c fixed by the sum.

    Tokens of draft mass 0 have b = 0. Among tokens of target mass 0 the split is a matter of
    indifference; they keep what the order of lowest priority gives them.

    Args:
        target: ``(..., V)`` NumPy float64 or ``Fraction``.
        draft: ``(..., V)``, same arithmetic.
        k: number of drafts.
        scheme: key of a scheme with ``prefix_exact``.

    Returns:
        ``(..., V)`` the law b.

    Raises:
        SchemeMismatch: no prefix order is optimal for the scheme; `PriorityMixture` serves it.

    Reference: fujishige1980lexicographically, section 3.

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> optimal_base(p, q, 2).round(6).tolist()
    [0.36, 0.45, 0.19]
    """
    law = draft_scheme(scheme)
    if not law.prefix_exact:
        raise SchemeMismatch(
            f"scheme `{scheme}` has no optimal prefix order; use PriorityMixture for its base"
        )
    check_same_vocabulary(target, draft)
    check_pmf("target", target)
    law.check(draft, k)
    batch = shared_batch(target=target.shape[:-1], draft=draft.shape[:-1])
    shape = (*batch, target.shape[-1])
    targets, drafts = (np.broadcast_to(a, shape).reshape(-1, shape[-1]) for a in (target, draft))
    bases = [_base(law, p, q, k) for p, q in zip(targets, drafts, strict=True)]
    return np.stack(bases).reshape(shape)


def hull_base(target: Array, order: np.ndarray, ranked_base: Array) -> Array:
    """The hull of one position, given the priority order of ascending p/q and its base.

    Args:
        target: ``(V,)``.
        order: ``(V,)`` tokens by ascending p/q.
        ranked_base: ``(V,)`` law of the highest-ranked draft, by rank.

    Returns:
        ``(V,)`` base by token.
    """
    base = ranked_base.copy()
    mass = target[order]
    # By descending p/q, those of draft mass 0 first.
    kept = np.flatnonzero(mass > _least(target))[::-1]
    if kept.size:
        slope = _isotonic(ranked_base[kept] / mass[kept], mass[kept])
        base[kept] = slope * mass[kept]
    by_token = np.empty_like(base)
    by_token[order] = base
    return by_token


def _least(target: Array) -> float:
    """What is as good as no mass: a subnormal p would overflow b / p."""
    return 0 if is_exact(target) else np.finfo(np.float64).tiny


def _base(law: DraftScheme, target: Array, draft: Array, k: int) -> Array:
    if law.key == "greedy":
        return _greedy_base(target, draft, k)
    order = law.prefix_order(target, draft, k)
    return hull_base(target, order, order_base(law, draft, k, order))


def _greedy_base(target: Array, draft: Array, k: int) -> Array:
    """``min(r, c p)`` off the fixed tokens, ``c p`` on them; c makes the sum 1."""
    rest = rest_law(draft, k)
    fixed = fixed_mask(draft, k)
    always = np.sum(target[fixed])
    if always <= _least(target):
        return rest
    # Below its level r / p a token takes c p, above it r: the sum is piecewise linear in c.
    free = np.flatnonzero(~fixed & (target > 0))
    level = rest[free] / target[free]
    by_level = np.argsort(level, kind="stable")
    level, taken, open_mass = level[by_level], rest[free][by_level], target[free][by_level]
    below = np.cumsum(taken) - taken
    above = np.sum(open_mass) - (np.cumsum(open_mass) - open_mass) + always
    reached = below + level * above >= 1
    first = int(np.argmax(reached)) if np.any(reached) else len(level)
    spent = below[first] if first < len(level) else np.sum(taken)
    slope = (1 - spent) / (above[first] if first < len(level) else always)
    return np.where(fixed, slope * target, np.minimum(rest, slope * target))


def _isotonic(values: Array, weights: Array) -> Array:
    """Non-decreasing weighted least squares fit: the slopes of the greatest convex minorant."""
    if not is_exact(values):
        from scipy.optimize import isotonic_regression

        return isotonic_regression(values, weights=weights).x
    blocks: list[list] = []  # [sum of weight * value, sum of weights, length]
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value * weight, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    slopes = np.array([mass / weight for mass, weight, _ in blocks], dtype=object)
    return np.repeat(slopes, [length for *_, length in blocks])
