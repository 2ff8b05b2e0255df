"""Top-k and top-p of one law without sorting its vocabulary: the same tokens as by a sort.

One pass tallies the probabilities by their exponent and leading mantissa bits, which are monotone
in them; only the tokens from the bucket where the cut lies upwards are sorted.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.sorting import heap_sort, sort_pairs

_SHIFT = 49  # leaves the exponent and three bits: eight buckets an octave
_TOP = int(np.float64(1.0).view(np.int64)) >> _SHIFT
_BUCKETS = 8 * 64 + 1
_BASE = _TOP - _BUCKETS + 1
"""Bucket 0 also holds all that is smaller: a cut in there is found by a longer sort."""

_ROUNDING = 1e-9
"""More than sums of a million probabilities, in whatever order, differ by."""


@compiled(nogil=True)
def scaled(logits: np.ndarray, highest: float, temperature: float, out: np.ndarray) -> None:
    """Fill ``out`` ``(V,)`` float64: ``(logits - highest) / temperature``, in one pass.

    >>> out = np.empty(2)
    >>> scaled(np.array([1.0, 3.0], np.float32), 3.0, 0.5, out)
    >>> out.tolist()
    [-4.0, 0.0]
    """
    for x in range(logits.shape[0]):
        out[x] = (np.float64(logits[x]) - highest) / temperature


@compiled(nogil=True)
def _leading(law: np.ndarray, count: int, mass: float) -> np.ndarray:
    """Tokens of positive probability, most probable first, ties by index.

    All of them up to the ``count``-th, and up to where their mass is surely ``mass``, whichever
    comes first; mostly some more.
    """
    size = law.shape[0]
    bits = law.view(np.int64)
    # All tokens below this probability together have less than half of what may be left out.
    level = max((1.0 - mass - _ROUNDING) / (2.0 * size), 0.0)
    number, held = np.zeros(_BUCKETS, np.int64), np.zeros(_BUCKETS)
    for x in range(size):
        if law[x] > level:
            bucket = min(max((bits[x] >> _SHIFT) - _BASE, 0), _BUCKETS - 1)
            number[bucket] += 1
            held[bucket] += law[x]
    lowest, found, through = _BUCKETS - 1, number[-1], held[-1]
    while lowest > 0 and found < count and through < mass + _ROUNDING:
        lowest -= 1
        found += number[lowest]
        through += held[lowest]
    least = (lowest + _BASE) << _SHIFT if lowest else 0
    tokens, keys = np.empty(found, np.int64), np.empty(found)
    n = 0
    for x in range(size):
        if law[x] > level and bits[x] >= least:
            tokens[n], keys[n] = x, -law[x]
            n += 1
    sort_pairs(keys, tokens)
    first = 0
    for n in range(1, found + 1):  # the sort leaves ties in any order
        if n == found or keys[n] != keys[first]:
            if n - first > 1:
                heap_sort(tokens[first:n], tokens[first:n].copy())
            first = n
    return tokens


@compiled(nogil=True)
def _keep(law: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    kept = law[tokens]
    law[:] = 0.0
    law[tokens] = kept
    return tokens


@compiled(nogil=True)
def keep_count(law: np.ndarray, count: int) -> np.ndarray:
    """Set all but the ``count`` most probable tokens to 0, ties going to the lower index.

    Returns what is kept, most probable first; fewer where fewer have any mass.

    Args:
        law: ``(V,)`` float64, changed in place; not normalised again.
        count: at least 1.

    >>> law = np.array([0.25, 0.5, 0.25])
    >>> keep_count(law, 2).tolist()
    [1, 0]
    >>> law.tolist()
    [0.25, 0.5, 0.0]
    """
    return _keep(law, _leading(law, count, 1.0)[:count])


@compiled(nogil=True)
def keep_mass(law: np.ndarray, mass: float) -> np.ndarray:
    """Set all but the nucleus to 0: the shortest top list of at least that mass, ties by index.

    Returns the nucleus, most probable first. Sums run from the most probable token on, as in
    `distributions.top_p`: the sets are equal.

    Args:
        law: ``(V,)`` float64 of sum 1, changed in place; not normalised again.
        mass: in (0, 1).

    >>> law = np.array([0.2, 0.5, 0.3])
    >>> keep_mass(law, 0.6).tolist()
    [1, 2]
    >>> law.tolist()
    [0.0, 0.5, 0.3]
    """
    tokens = _leading(law, law.shape[0] + 1, mass)
    through, stop = 0.0, 0
    while stop < tokens.shape[0] and through < mass:
        through += law[tokens[stop]]
        stop += 1
    return _keep(law, tokens[:stop])
