import numpy as np
import pytest

from spectheory.kernels.small_linear import small_linear


@pytest.mark.parametrize("count", [*range(10), 16])
@pytest.mark.parametrize("size", [1, 7, 576])
def test_agrees_with_float64_within_the_rounding_of_a_sum(count, size):
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((count, size)).astype(np.float32)
    weight = rng.standard_normal((33, size)).astype(np.float32)
    out = np.full((count, 33), np.nan, np.float32)
    small_linear(rows, weight, out)
    exact = rows.astype(np.float64) @ weight.T.astype(np.float64)
    bound = size * np.finfo(np.float32).eps * (np.abs(rows) @ np.abs(weight).T)
    assert (np.abs(out - exact) <= bound).all()


def test_numbers_that_are_none_stay_none():
    out = np.zeros((2, 1), np.float32)
    small_linear(np.array([[np.nan], [1.0]], np.float32), np.ones((1, 1), np.float32), out)
    assert np.isnan(out[0, 0])
    assert out[1, 0] == 1
