"""Histogram of the ratio target/draft over bins that need no logarithm.

The exponent and the leading mantissa bits of a positive float64 number the bins, so the bin is a
monotone function of the ratio as computed, and every bin edge is a float64. Bin 0 is [0, first
edge); the last bin but one starts above k, beyond which no ratio matters for k drafts; the last
bin holds the tokens that the draft never proposes.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled

OCTAVES = 32
"""Factors of 2 that the inner bins span; smaller ratios share bin 0."""

_BLOCK = 512


def layout(k: int, bins: int) -> tuple[int, int, np.ndarray]:
    """How ratios are mapped to bins for k drafts and ``bins`` inner bins (32 times a power of 2).

    Returns:
        shift, base: bin = clip((bits >> shift) - base, 0, bins + 1); never proposed: bins + 2.
        edges: ``(bins + 3,)`` lower edges of bins 0 to bins + 1, then infinity.

    >>> shift, base, edges = layout(2, 64)
    >>> edges[[0, 1, 2, 3, -2, -1]].tolist()
    [0.0, 9.313225746154785e-10, 1.3969838619232178e-09, 1.862645149230957e-09, 4.0, inf]
    """
    shift = 52 - (bins // OCTAVES).bit_length() + 1
    top = np.float64(2.0) ** k.bit_length()  # strictly above k
    first = np.float64(top * 0.5**OCTAVES).view(np.int64) >> shift
    edges = np.empty(bins + 3)
    edges[0], edges[-1] = 0.0, np.inf
    edges[1:-1] = ((first + np.arange(bins + 1)) << shift).view(np.float64)
    return shift, int(first) - 1, edges


@compiled(error_model="numpy", nogil=True)
def histogram(
    target: np.ndarray,
    draft: np.ndarray,
    shift: int,
    base: int,
    bin_of: np.ndarray,
    mass: np.ndarray,
) -> float:
    """Fill ``bin_of`` (V,) and ``mass`` (bins + 3, 2: target, draft); return the lowest entry."""
    top = mass.shape[0] - 2
    mass[:] = 0.0
    signs = np.int64(0)
    ratio = np.empty(_BLOCK)
    bits = ratio.view(np.int64)
    key = np.empty(_BLOCK, np.int64)
    for start in range(0, target.shape[0], _BLOCK):
        count = min(_BLOCK, target.shape[0] - start)
        p, q = target[start : start + count], draft[start : start + count]
        for i in range(count):  # all loops but the last are vectorised
            ratio[i] = p[i] / q[i] + 0.0  # + 0.0 turns -0.0, whose bits are large, into 0.0
        p_bits, q_bits = p.view(np.int64), q.view(np.int64)
        for i in range(count):
            signs |= p_bits[i] | q_bits[i]
        for i in range(count):
            bin_ = min(max((bits[i] >> shift) - base, 0), top)
            key[i] = bin_ if q[i] > 0.0 else top + 1
        for i in range(count):
            bin_of[start + i] = key[i]
            mass[key[i], 0] += p[i]
            mass[key[i], 1] += q[i]
    lowest = 0.0
    if signs < 0:  # a minimum takes longer than all loops above, and is seldom below 0
        for x in range(target.shape[0]):
            lowest = min(lowest, target[x], draft[x])
    return lowest
