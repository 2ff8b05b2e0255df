import numba
import numpy as np
import pytest

from spectheory.kernels.tiled_linear import LANES, starts, tiled_linear, widens_halves

TYPES = [
    "uint16",
    pytest.param(
        "int16", marks=pytest.mark.skipif(not widens_halves(), reason="no instruction for halves")
    ),
]


def float64_of(bits):
    """By NumPy's own conversions."""
    if bits.dtype == np.uint16:
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.view(np.float16).astype(np.float64)


def in_tiles(bits):
    """Rows of weights in the order of the kernel."""
    tiles = [bits[first : first + LANES].T for first in starts(len(bits))]
    return np.ascontiguousarray(np.stack(tiles))


def drawn(rng, shape, dtype):
    """Bits of normal numbers."""
    values = rng.standard_normal(shape).astype(np.float32)
    if dtype == "uint16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16).view(np.int16)


@pytest.mark.parametrize("features", [LANES, LANES + 1, 3 * LANES, 5 * LANES - 1])
@pytest.mark.parametrize("size", [1, 7, 576])
@pytest.mark.parametrize("dtype", TYPES)
def test_agrees_with_float64_however_many_rows_come_together(features, size, dtype):
    rng = np.random.default_rng(features)
    rows = rng.standard_normal((33, size)).astype(np.float32)
    bits = drawn(rng, (features, size), dtype)
    weight = float64_of(bits)
    exact = rows.astype(np.float64) @ weight.T
    bound = size * np.finfo(np.float32).eps * (np.abs(rows) @ np.abs(weight).T)
    alone = np.full((33, features), np.nan, np.float32)
    for row in range(33):
        tiled_linear(rows[row : row + 1], in_tiles(bits), alone[row : row + 1])
    assert (np.abs(alone - exact) <= bound).all()
    for count in range(33):
        together = np.full((count, features), np.nan, np.float32)
        tiled_linear(rows[:count], in_tiles(bits), together)
        np.testing.assert_array_equal(together, alone[:count])  # to the bit


@pytest.mark.parametrize("dtype", TYPES)
def test_every_16_bit_number_is_widened_exactly(dtype):
    bits = np.arange(2**16).astype(np.uint16).view(dtype)[:, None]
    with np.errstate(invalid="ignore"):  # some of them are no numbers
        numbers = float64_of(bits)[:, 0]
    out = np.empty((1, 2**16), np.float32)
    tiled_linear(np.ones((1, 1), np.float32), in_tiles(bits), out)
    finite = np.isfinite(numbers)
    assert finite.sum() > 63_000
    np.testing.assert_array_equal(out[0, finite], numbers[finite])
    np.testing.assert_array_equal(np.isnan(out[0]), np.isnan(numbers))


def test_numbers_that_are_none_stay_in_their_row():
    out = np.zeros((2, LANES), np.float32)
    ones = np.full((1, 1, LANES), 0x3F80, np.uint16)
    tiled_linear(np.array([[np.nan], [1.0]], np.float32), ones, out)
    assert np.isnan(out[0]).all()
    assert (out[1] == 1).all()


def test_other_types_and_orders_are_refused():
    rows, out = np.ones((1, 2), np.float32), np.empty((1, LANES), np.float32)
    for tiles in (np.ones((1, 2, LANES), np.float32), np.ones((LANES, 2, 1), np.uint16).T):
        with pytest.raises(numba.TypingError):
            tiled_linear(rows, tiles, out)
