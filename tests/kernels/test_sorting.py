"""The kernels' own sorts agree with NumPy's."""

import numpy as np
import pytest

from spectheory.kernels.sorting import count_below, heap_sort, insertion_sort, sort_pairs


@pytest.mark.parametrize("sort", [insertion_sort, heap_sort, sort_pairs])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 32, 33, 100, 1_000])
@pytest.mark.parametrize("kind", ["even", "ties", "one value", "crowded", "sorted", "tiny"])
def test_sorts(sort, size, kind):
    rng = np.random.default_rng(size)
    keys = rng.random(size)
    if kind == "ties":
        keys = np.round(keys * 5)
    elif kind == "one value":
        keys[:] = 0.3
    elif kind == "crowded":
        keys = np.where(keys < 0.01, 1.0, keys * 1e-12)
    elif kind == "sorted":
        keys.sort()
    elif kind == "tiny":
        keys *= 5e-324 * 3
    given, items = keys.copy(), np.arange(size)
    sort(keys, items)
    assert np.array_equal(keys, np.sort(given))
    assert np.array_equal(given[items], keys)
    assert np.array_equal(np.sort(items), np.arange(size))


def test_count_below():
    values = np.array([0.0, 0.5, 0.5, 1.0])
    for bound in (-1.0, 0.0, 0.3, 0.5, 1.0, 2.0):
        assert count_below(values, bound, False) == np.searchsorted(values, bound, side="left")
        assert count_below(values, bound, True) == np.searchsorted(values, bound, side="right")
