"""Set-up of the grouped score plan from a ratio histogram: two passes over the tokens, no sort."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.iid_value import missed, scan
from spectheory.kernels.ratio_histogram import histogram
from spectheory.kernels.score_kernel import cap_groups, curtain, finish_residual, merge, settle


@compiled(nogil=True)
def spread(mass: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Draft mass at every edge when each token is split between the two edges of its bin.

    Args:
        mass: ``(bins + 3, 2)`` target and draft mass of the bins, each column with sum 1.
        edges: ``(bins + 3,)`` in the same units.

    Returns:
        ``(bins + 2,)``: a bin with target mass P and draft mass Q between edges a < b gives
        (P - a Q) / (b - a) to b and the rest of Q to a, which keeps P. Ratios beyond the last edge,
        which is above k, all go to it.
    """
    last = edges.shape[0] - 2
    at = np.zeros(last + 1)
    for j in range(last):
        p, q = mass[j, 0], mass[j, 1]
        upper = min(max((p - edges[j] * q) / (edges[j + 1] - edges[j]), 0.0), q)
        at[j] += q - upper
        at[j + 1] += upper
    at[last] += mass[last, 1]
    return at


@compiled(nogil=True)
def _plan_masses(
    mass: np.ndarray, edges: np.ndarray, k: int
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """See `plan_masses`; ``mass`` is normalised in place."""
    mass[:, 0] /= mass[:, 0].sum()
    mass[:, 1] /= mass[:, 1].sum()
    tail, _, best = scan(mass, edges, k)
    last = mass.shape[0] - 1
    least = 0.0
    if best == last:
        least = mass[last, 0]
    elif best > 0:
        least = tail[best, 0] + mass[best, 0] - missed(tail[best, 1] + mass[best, 1], k)
    at = spread(mass, edges)
    group = np.empty(at.shape[0], np.int32)
    group_mass, group_level = np.zeros(at.shape[0]), np.zeros(at.shape[0])
    count = merge(at, edges[:last], group, group_mass, group_level)
    loss, cut = cap_groups(group_mass[:count], group_level[:count], k)
    floor = loss ** (1.0 / k)
    low, high, start = curtain(group_mass[:count], group_level[:count], cut, k, floor)
    before, length, floors, mean = settle(low, high, start, group_level[: cut + 1], k, floor)
    group = np.minimum(group, np.int32(cut))
    # A token of bin j is accepted with mass per_draft[j] q + per_target[j] p.
    per_draft, per_target = np.zeros(last + 1), np.zeros(last + 1)
    for j in range(last - 1):
        own, next_ = mean[group[j]], mean[group[j + 1]]
        per_target[j] = (next_ - own) / (edges[j + 1] - edges[j])
        per_draft[j] = own - per_target[j] * edges[j]
    per_draft[last - 1] = mean[group[last - 1]]
    return least, per_draft, per_target, group, (start, low, high, before, length, floors)


@compiled(nogil=True)
def plan_masses(
    mass: np.ndarray, edges: np.ndarray, k: int
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """The plan from a histogram that was made elsewhere, on a device for example.

    Args:
        mass: ``(bins + 3, 2)`` target and draft mass of each bin.
        edges: those of `layout`.
        k: number of drafts.

    Returns:
        least, group, pieces: as `plan_bins` gives them.
        per_draft, per_target: ``(bins + 3,)``; a token of bin j is accepted with mass
            ``per_draft[j] q + per_target[j] p``, clipped to [0, p].
    """
    return _plan_masses(mass.copy(), edges, k)


@compiled(nogil=True)
def plan_bins(
    target: np.ndarray, draft: np.ndarray, k: int, shift: int, base: int, edges: np.ndarray
) -> tuple[float, tuple[np.ndarray, ...], np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """The plan over bin edges; ``shift``, ``base`` and ``edges`` are those of `layout`.

    Python calls this and not its parts, for the reason that `plan_tokens` gives.

    Returns:
        least: a loss ``1 - alpha`` that no rule can go below, from the bin boundaries.
        masses: accepted mass, residual law, a running total to draw from it by, each ``(V,)``.
        bin_of: ``(V,)``.
        group: ``(bins + 2,)`` group of each edge.
        pieces: start, low, high, before, length and floor, as in `score_draws.Pieces`.
    """
    bin_of = np.empty(target.shape[0], np.uint16)
    mass = np.empty((edges.shape[0], 2))
    histogram(target, draft, shift, base, bin_of, mass)
    least, per_draft, per_target, group, pieces = _plan_masses(mass, edges, k)
    accepted, left = np.empty_like(target), np.empty_like(target)
    running = np.empty_like(target)
    total = 0.0
    for x in range(target.shape[0]):
        bin_ = bin_of[x]
        share = per_draft[bin_] * draft[x] + per_target[bin_] * target[x]
        accepted[x] = min(max(share, 0.0), target[x])
        left[x] = target[x] - accepted[x]
        total += left[x]
        running[x] = total
    finish_residual(target, left, running)
    masses = (accepted, left, running)
    return least, masses, bin_of, group, pieces
