"""Acceptance of the Gumbel list coupling at real vocabulary sizes: the time integral, compiled."""

from __future__ import annotations

import math

import numpy as np

from spectheory.kernels.compiling import compiled


def list_acceptance(
    target: np.ndarray,
    draft: np.ndarray,
    order: np.ndarray,
    cost: np.ndarray,
    slope: np.ndarray,
    k: int,
    nodes: list[tuple[float, float]],
) -> np.ndarray:
    """``sum_y p(y) E[1 - (1/k) sum_i B_i prod_{j != i} C_j]`` with t ~ Exp(k).

    The output is y through slot i with chance 1/k each. ``B_i = 1 - exp(-t (M_i - 1))`` is the
    chance that the draft of that slot is another token, ``C_j = 1 - q_j(y) e^t phi_j,y(t)`` the
    same for every other slot.

    Args:
        target: ``(n, V)`` float64.
        draft: ``(n, s, V)`` float64; s = 1 where all slots share one law, else s = k.
        order: ``(n, s, V)`` tokens in ascending order of p / q.
        cost: ``(n, s, V)`` M at each ratio in that order (infinite where q = 0).
        slope: ``(n, s, V)`` draft mass up to each ratio in that order.
        k: number of drafts.
        nodes: quadrature nodes and weights of the time integral.

    Returns:
        ``(n,)`` float64.
    """
    times, weights = (np.array(column) for column in zip(*nodes, strict=True))
    return _rows(target, draft, order, cost, slope, k, times, weights)


REFRESH, SMALL = 64, 2e-3
"""Steps of the exponential by its series: at most so many in a row, each at most so large (the
series then errs by 3e-16)."""


@compiled(nogil=True)
def _rows(
    target: np.ndarray,
    draft: np.ndarray,
    order: np.ndarray,
    cost: np.ndarray,
    slope: np.ndarray,
    k: int,
    times: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    accepted = np.zeros(target.shape[0])
    slots, size = draft.shape[1], draft.shape[2]
    for row in range(target.shape[0]):
        # By token and node, over the slots so far: sum_i B_i prod_{j != i} C_j, and prod_j C_j.
        missed, clear = np.zeros((size, times.shape[0])), np.ones((size, times.shape[0]))
        for slot in range(slots):
            _add_slot(
                draft[row, slot],
                order[row, slot],
                cost[row, slot],
                slope[row, slot],
                times,
                missed,
                clear,
            )
        inner = np.zeros(times.shape[0])
        for y in range(size):
            for n in range(times.shape[0]):
                miss = missed[y, n] / slots
                if slots == 1:
                    for _ in range(k - 1):
                        miss *= clear[y, n]
                inner[n] += target[row, y] * (1.0 - miss)
        for n in range(times.shape[0]):
            accepted[row] += weights[n] * k * math.exp(-k * times[n]) * inner[n]
    return accepted


@compiled(nogil=True)
def _add_slot(
    draft: np.ndarray,
    order: np.ndarray,
    cost: np.ndarray,
    slope: np.ndarray,
    times: np.ndarray,
    missed: np.ndarray,
    clear: np.ndarray,
) -> None:
    """Take one slot into account, from the highest ratio down."""
    nodes = times.shape[0]
    grown = np.exp(times)
    latest = times[nodes - 1]
    reached = np.zeros(nodes)  # exp(-t M) at the present ratio
    following = np.zeros(nodes)  # and at the next one up
    phi = np.zeros(nodes)
    steps = REFRESH
    above = math.inf
    for m in range(order.shape[0] - 1, -1, -1):
        step = above - cost[m]
        steps += 1
        if steps < REFRESH and latest * step < SMALL:
            for n in range(nodes):
                d = times[n] * step
                series = 1.0 + d * (1.0 + d * (0.5 + d * (1.0 / 6.0 + d / 24.0)))
                reached[n] = following[n] * series
        else:
            steps = 0
            for n in range(nodes):
                exponent = times[n] * cost[m]
                reached[n] = math.exp(-exponent) if exponent < 700.0 else 0.0
        above = cost[m]
        token = order[m]
        share = 1.0 / slope[m] if slope[m] > 0.0 else 0.0
        mass = draft[token]
        for n in range(nodes):
            phi[n] += (reached[n] - following[n]) * share
            following[n] = reached[n]
            other = 1.0 - mass * grown[n] * phi[n]
            missed[token, n] = (
                missed[token, n] * other + (1.0 - reached[n] * grown[n]) * clear[token, n]
            )
            clear[token, n] *= other
