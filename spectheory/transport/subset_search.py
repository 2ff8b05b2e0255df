"""The dual for heterogeneous drafts, where no prefix order is optimal: certified branch and bound.

With k independent drafts from laws q_1..q_k, Q(H) = t_1 t_2 .. t_k with t_j = q_j(H). The dual is

    1 + min over H of [ p(H) - product_j q_j(H) ].

The search runs over boxes of t, three facts to a box [low, high]:

- Half-spaces. With lambda_j the product of the other t's, a minimiser H satisfies
  ``p(i) <= sum_j lambda_j q_j(i)`` inside and ``>=`` outside. Over a box this forces tokens in and
  out of H, which shrinks the box again.
- Envelope. The product is supermodular, so on a box its concave envelope is the least of k! planes,
  one for each order of the slots (McCormick's two for k = 2); the k cyclic orders and their mean
  are used. Each plane gives a lower bound on the objective that is a sum over the free tokens of
  ``min(0, p(i) - a . q(i))``, one pass over the vocabulary.
- The subset that attains a plane's bound is a candidate, and its own objective an upper bound.
"""

from __future__ import annotations

import heapq
import itertools
from typing import NamedTuple

import numpy as np


class SubsetSearch(NamedTuple):
    """What the search proved.

    Attributes:
        lower: no subset has a bound below this.
        upper: the bound of the witness.
        witness: ``(V,)`` boolean mask.
        boxes: how many boxes were looked at.
    """

    lower: float
    upper: float
    witness: np.ndarray
    boxes: int


def search_subsets(
    target: np.ndarray, draft: np.ndarray, tolerance: float = 1e-9, most_boxes: int = 2000
) -> SubsetSearch:
    """The least ``1 + p(H) - product_j q_j(H)`` over all subsets, between two bounds.

    Args:
        target: ``(V,)`` float64.
        draft: ``(k, V)`` float64, one law a slot.
        tolerance: stop when the bounds are this close.
        most_boxes: stop after this many boxes; the bounds hold all the same.

    The half-space facts hold because removing or adding a token of draft masses d changes the
    product by ``prod t - prod (t - d) <= sum lambda d <= prod (t + d) - prod t``.

    Reference: mccormick1976computability (envelopes).

    >>> p = np.array([0.003, 0.068, 0.037, 0.891])
    >>> q = np.array([[0.045, 0.035, 0.107, 0.814], [0.452, 0.163, 0.0, 0.385]])
    >>> found = search_subsets(p / p.sum(), q / q.sum(axis=1, keepdims=True))
    >>> round(found.upper, 5), found.witness.tolist()
    (0.9714, [True, False, True, False])
    """
    slots, size = draft.shape
    best, witness = 0.0, np.zeros(size, dtype=bool)
    counter = itertools.count()  # breaks ties in the queue
    root = (np.zeros(slots), np.ones(slots), np.arange(size), np.zeros(slots + 1), witness)
    queue: list[tuple] = [(-1.0, next(counter), root)]
    boxes = 0
    while queue and queue[0][0] < best - tolerance and boxes < most_boxes:
        _, _, (low, high, free, fixed, inside) = heapq.heappop(queue)
        boxes += 1
        reduced = _reduce(target, draft, low, high, free, fixed, inside)
        if reduced is None:
            continue
        low, high, free, fixed, inside = reduced
        bound, split, mass, chosen = _plane_bounds(target, draft, low, high, free, fixed)
        for masses, taken in zip(mass, chosen, strict=True):
            objective = masses[0] - float(np.prod(masses[1:]))
            if objective < best:
                best, witness = float(objective), inside.copy()
                witness[free[taken]] = True
        if bound >= best - tolerance:
            # Closed: its minimum is not below the best by more than the tolerance.
            heapq.heappush(queue, (bound, next(counter), reduced))
            continue
        axis = int(np.argmax(high - low))
        # Cut where the relaxed optimum lies, kept away from the ends.
        cut = float(np.clip(split[axis], *(low[axis] + (high - low)[axis] * np.array([0.2, 0.8]))))
        for side in (0, 1):
            ends = low.copy(), high.copy()
            ends[1 - side][axis] = cut
            heapq.heappush(queue, (bound, next(counter), (*ends, free, fixed, inside)))
    lower = min([best, *(entry[0] for entry in queue)])
    return SubsetSearch(1 + lower, 1 + best, witness, boxes)


def _reduce(
    target: np.ndarray,
    draft: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    free: np.ndarray,
    fixed: np.ndarray,
    inside: np.ndarray,
) -> tuple | None:
    """Shrink a box by the half-space facts; None if no minimiser can lie in it.

    ``fixed`` holds the masses (target, then each draft) of the tokens that are in every H of the
    box; ``free`` the tokens still open.
    """
    slack = 1e-12  # keeps a rounding error from cutting a minimiser off
    while True:
        least, most = _others(low), _others(high)
        p, q = target[free], draft[:, free]
        into = p < least @ q - slack * p - 1e-300
        out = p > most @ q + slack * p + 1e-300
        if np.any(into & out):
            return None
        changed = bool(np.any(into) or np.any(out))
        if changed:
            added = np.concatenate([[p[into].sum()], q[:, into].sum(axis=1)])
            fixed, inside = fixed + added, inside.copy()
            inside[free[into]] = True
            free = free[~(into | out)]
        at_least, at_most = fixed[1:], fixed[1:] + draft[:, free].sum(axis=1)
        shrunk = np.maximum(low, at_least - slack), np.minimum(high, at_most + slack)
        gain = float(np.max((high - low) - (shrunk[1] - shrunk[0])))
        low, high = shrunk
        if np.any(low > high):
            return None
        if gain <= 0.05 * float(np.max(high - low)) or not changed:
            return low, high, free, fixed, inside


def _plane_bounds(
    target: np.ndarray,
    draft: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    free: np.ndarray,
    fixed: np.ndarray,
) -> tuple[float, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Best lower bound of the planes and of the mean plane, and the subsets that attain them."""
    p, q = target[free], draft[:, free]
    orders = [np.roll(np.arange(len(low)), shift) for shift in range(len(low))]
    planes = [_plane(low, high, order) for order in orders]
    planes.append((np.mean([a for a, _ in planes], axis=0), float(np.mean([c for _, c in planes]))))
    best, split = -np.inf, (low + high) / 2
    masses, chosen = [], []
    for slope, constant in planes:
        taken = p < slope @ q
        mass = fixed + np.concatenate([[p[taken].sum()], q[:, taken].sum(axis=1)])
        bound = float(mass[0] - slope @ mass[1:] - constant)
        masses.append(mass)
        chosen.append(taken)
        if bound > best:
            best, split = bound, mass[1:]
    return best, split, masses, chosen


def _plane(low: np.ndarray, high: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, float]:
    """Slope and constant of the plane through the box corners that raise the slots in ``order``."""
    corner = low.copy()
    slope = np.empty_like(low)
    for j in order:
        slope[j] = np.prod(np.delete(corner, j))
        corner[j] = high[j]
    return slope, float(np.prod(low) - slope @ low)


def _others(values: np.ndarray) -> np.ndarray:
    """Product of all values but each one."""
    return np.array([np.prod(np.delete(values, j)) for j in range(len(values))])
