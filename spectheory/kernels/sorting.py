"""Sorting inside cached kernels, without ``np.sort``, ``np.argsort`` and ``np.unique``.

With ``cache=True``, a kernel that used ``np.unique`` returned wrong numbers, without an error, once
another module with ``np.argsort`` had been recompiled; a fresh cache cured it, and so does this
file. The likely cause: numba builds its sorts from closures that are named by a counter of the
process, so that kernels cached by different processes can hold different closures of one name.
"""

from __future__ import annotations

import math

import numpy as np

from spectheory.kernels.compiling import compiled

_FEW = 32
"""Arrays up to this length are sorted by insertion."""


@compiled(nogil=True)
def insertion_sort(keys: np.ndarray, items: np.ndarray) -> None:
    """Sort ``keys`` ascending in place, and ``items`` along; for short arrays."""
    for n in range(1, keys.shape[0]):
        key, item = keys[n], items[n]
        at = n
        while at > 0 and keys[at - 1] > key:
            keys[at], items[at] = keys[at - 1], items[at - 1]
            at -= 1
        keys[at], items[at] = key, item


@compiled(nogil=True)
def heap_sort(keys: np.ndarray, items: np.ndarray) -> None:
    """Sort ``keys`` ascending in place, and ``items`` along; O(n log n) for any order."""
    size = keys.shape[0]
    for step in range(size // 2 + size - 1):
        if step < size // 2:  # build the heap
            root, stop = size // 2 - 1 - step, size
        else:  # move the largest to the end
            root, stop = 0, size - 1 - (step - size // 2)
            keys[0], keys[stop] = keys[stop], keys[0]
            items[0], items[stop] = items[stop], items[0]
        key, item = keys[root], items[root]
        child = 2 * root + 1
        while child < stop:
            if child + 1 < stop and keys[child + 1] > keys[child]:
                child += 1
            if keys[child] <= key:
                break
            keys[root], items[root] = keys[child], items[child]
            root, child = child, 2 * child + 1
        keys[root], items[root] = key, item


@compiled(nogil=True)
def sort_pairs(keys: np.ndarray, items: np.ndarray) -> None:
    """Sort finite ``keys`` ascending in place, and ``items`` along; O(n) if spread evenly.

    Linear buckets first, then insertion within a bucket, or a heap where one is crowded.
    """
    count = keys.shape[0]
    if count <= _FEW:
        insertion_sort(keys, items)
        return
    low = high = keys[0]
    for key in keys:
        low, high = min(low, key), max(high, key)
    if low == high:
        return
    buckets = count // 4
    scale = buckets / (high - low)
    if math.isinf(scale):
        heap_sort(keys, items)
        return
    end = np.zeros(buckets + 2, np.int64)
    bucket_of = np.empty(count, np.int64)
    for n in range(count):
        bucket_of[n] = min(int((keys[n] - low) * scale), buckets)
        end[bucket_of[n] + 1] += 1
    for bucket in range(buckets + 1):
        end[bucket + 1] += end[bucket]
    old_keys, old_items = keys.copy(), items.copy()
    for n in range(count - 1, -1, -1):  # from the back, so that ends[b + 1] become starts of b
        bucket = bucket_of[n] + 1
        end[bucket] -= 1
        keys[end[bucket]], items[end[bucket]] = old_keys[n], old_items[n]
    for bucket in range(1, buckets + 2):
        first = end[bucket]
        stop = end[bucket + 1] if bucket <= buckets else count
        if stop - first <= _FEW:
            insertion_sort(keys[first:stop], items[first:stop])
        else:
            heap_sort(keys[first:stop], items[first:stop])


@compiled(nogil=True)
def count_below(values: np.ndarray, bound: float, inclusive: bool) -> int:
    """How many of ascending ``values`` are below ``bound``, or at most it if ``inclusive``."""
    first, stop = 0, values.shape[0]
    while first < stop:
        middle = (first + stop) // 2
        if values[middle] < bound or (inclusive and values[middle] == bound):
            first = middle + 1
        else:
            stop = middle
    return first
