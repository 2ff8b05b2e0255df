"""Acceptance of the Gumbel list coupling at real vocabulary sizes: the time integral, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np

from spectheory.kernels.compiling import compiled


def list_acceptance(
    target: np.ndarray,
    draft: np.ndarray,
    cost: np.ndarray,
    slope: np.ndarray,
    k: int,
    nodes: list[tuple[float, float]],
) -> np.ndarray:
    """``sum_y p(y) E[1 - (1 - e^{-t (M - 1)}) (1 - q(y) e^t phi_y(t))^(k-1)]``, t ~ Exp(k).

    Args:
        target, draft, cost, slope: ``(..., V)`` float64 in ascending order of p / q, as
            `spectheory.verification.gumbel_list` defines them (cost infinite where q = 0).
        k: number of drafts.
        nodes: quadrature nodes and weights of the time integral.

    Returns:
        ``(...)`` float64.
    """
    rows = [np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in (target, draft, cost, slope)]
    times, weights = (np.array(column) for column in zip(*nodes, strict=True))
    return _rows(*rows, k, times, weights).reshape(target.shape[:-1])


@compiled(parallel=True)
def _rows(
    target: np.ndarray,
    draft: np.ndarray,
    cost: np.ndarray,
    slope: np.ndarray,
    k: int,
    times: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    accepted = np.zeros(target.shape[0])
    for row in numba.prange(target.shape[0]):
        for n in range(times.shape[0]):
            inner = _at_time(target[row], draft[row], cost[row], slope[row], k, times[n])
            accepted[row] += weights[n] * k * math.exp(-k * times[n]) * inner
    return accepted


@compiled()
def _at_time(
    target: np.ndarray, draft: np.ndarray, cost: np.ndarray, slope: np.ndarray, k: int, time: float
) -> float:
    grown = math.exp(time)
    following = 0.0  # exp(-t M) at the next ratio up
    phi = 0.0
    hit = 0.0
    for m in range(target.shape[0] - 1, -1, -1):
        exponent = time * cost[m]
        reached = math.exp(-exponent) if exponent < 700.0 else 0.0
        if slope[m] > 0.0:
            phi += (reached - following) / slope[m]
        following = reached
        other = 1.0 - draft[m] * grown * phi
        missed = 1.0 - reached * grown
        for _ in range(k - 1):
            missed *= other
        hit += target[m] * (1.0 - missed)
    return hit
