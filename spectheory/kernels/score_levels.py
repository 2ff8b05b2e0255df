"""Set-up of a score plan over given levels of the likelihood ratio, for densities."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.score_kernel import cap_groups, curtain, merge, settle


@compiled(nogil=True)
def plan_levels(
    mass: np.ndarray, level: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Pieces of the score axis for draft mass at ascending levels.

    Args:
        mass: ``(m,)`` draft mass at each level, with sum 1.
        level: ``(m,)`` accepted mass that a draft mass there may have at most.
        k: number of drafts.

    Returns:
        group: ``(m,)`` group of each level.
        mean: ``(groups,)`` accepted mass per draft mass that its pieces give a group.
        pieces: start, low, high, before, length and floor, as in `score_draws.Pieces`.
    """
    group = np.zeros(mass.shape[0], np.int32)
    group_mass, group_level = np.zeros(mass.shape[0]), np.zeros(mass.shape[0])
    count = merge(mass, level, group, group_mass, group_level)
    loss, cut = cap_groups(group_mass[:count], group_level[:count], k)
    floor = loss ** (1.0 / k)
    low, high, start = curtain(group_mass[:count], group_level[:count], cut, k, floor)
    before, length, floors, mean = settle(low, high, start, group_level[: cut + 1], k, floor)
    return np.minimum(group, np.int32(cut)), mean, (start, low, high, before, length, floors)
