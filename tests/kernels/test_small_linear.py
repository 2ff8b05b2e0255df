import numpy as np
import pytest

from spectheory.kernels.small_linear import MOST_ROWS, small_linear
from spectheory.kernels.widening import widens_halves

HALF = pytest.param(
    "int16", marks=pytest.mark.skipif(not widens_halves(), reason="no instruction for halves")
)


def float64_of(bits):
    """By NumPy's own conversions."""
    if bits.dtype == np.uint16:
        bits = (bits.astype(np.uint32) << 16).view(np.float32)
    if bits.dtype == np.int16:
        bits = bits.view(np.float16)
    return bits.astype(np.float64)


@pytest.mark.parametrize("count", [*range(10), 16])
@pytest.mark.parametrize("size", [1, 7, 576])
@pytest.mark.parametrize("dtype", ["float32", "uint16", HALF])
def test_agrees_with_float64_within_the_rounding_of_a_sum(count, size, dtype):
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((count, size)).astype(np.float32)
    weight = rng.standard_normal((33, size)).astype(np.float32)
    if dtype == "uint16":
        weight = (weight.view(np.uint32) >> 16).astype(np.uint16)
    if dtype == "int16":
        weight = weight.astype(np.float16).view(np.int16)
    out = np.full((count, 33), np.nan, np.float32)
    small_linear(rows, weight, out)
    weight = float64_of(weight)
    exact = rows.astype(np.float64) @ weight.T
    bound = size * np.finfo(np.float32).eps * (np.abs(rows) @ np.abs(weight).T)
    assert (np.abs(out - exact) <= bound).all()


@pytest.mark.parametrize("dtype", ["uint16", HALF])
def test_every_16_bit_number_is_widened_exactly(dtype):
    bits = np.arange(2**16).astype(np.uint16).view(dtype)[:, None]
    with np.errstate(invalid="ignore"):  # some of them are no numbers
        numbers = float64_of(bits)[:, 0]
    out = np.empty((1, 2**16), np.float32)
    small_linear(np.ones((1, 1), np.float32), bits, out)
    finite = np.isfinite(numbers)
    assert finite.sum() > 63_000
    np.testing.assert_array_equal(out[0, finite], numbers[finite])


def test_numbers_that_are_none_stay_none():
    out = np.zeros((2, 1), np.float32)
    small_linear(np.array([[np.nan], [1.0]], np.float32), np.ones((1, 1), np.float32), out)
    assert np.isnan(out[0, 0])
    assert out[1, 0] == 1


@pytest.mark.parametrize("bias", [False, True])
def test_a_torch_layer_takes_it_for_few_rows_only(bias, monkeypatch):
    torch = pytest.importorskip("torch")
    from spectheory.decoding import small_passes

    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 10, bias=bias)
    batches = [torch.randn(1, count, 24) for count in (1, 3, MOST_ROWS, MOST_ROWS + 1)]
    with torch.inference_mode():
        before = [layer(batch) for batch in batches]
    ran = []
    kernel = small_passes.small_linear
    monkeypatch.setattr(
        small_passes,
        "small_linear",
        lambda rows, *rest: (ran.append(len(rows)), kernel(rows, *rest)),
    )
    changed = torch.nn.Sequential(layer, torch.nn.ReLU())
    assert small_passes.speed_up_small_passes(changed) == {"float32"}
    with torch.inference_mode():
        after = [layer(batch) for batch in batches]
    for one, other in zip(before, after, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert ran == [1, 3, MOST_ROWS]
    layer(batches[0]).sum().backward()  # training goes its old way
    assert layer.weight.grad is not None
    assert len(ran) == 3
    half = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    assert small_passes.speed_up_small_passes(half) == set()


@pytest.mark.parametrize("name", ["bfloat16", pytest.param("float16", marks=HALF.marks)])
def test_a_torch_layer_reads_16_bits_where_they_hold_its_weights(name):
    torch = pytest.importorskip("torch")
    from spectheory.decoding.small_passes import narrowed, speed_up_small_passes

    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 3000)
    with torch.no_grad():
        # 1 + 2^-10 is a float16 but not a bfloat16; 2^-30 is the other way round.
        layer.weight.copy_(layer.weight.to(getattr(torch, name)))
        layer.weight[2999, 23] = 2.0**-30 if name == "bfloat16" else 1 + 2.0**-10
    dtype, values = narrowed(layer.weight)
    assert dtype == getattr(torch, name)
    np.testing.assert_array_equal(float64_of(values), layer.weight.detach().numpy())
    inputs = torch.randn(2, 24)
    with torch.inference_mode():
        usual = layer(inputs)
        assert speed_up_small_passes(layer) == {name}
        torch.testing.assert_close(layer(inputs), usual, rtol=1e-5, atol=1e-6)
        assert not torch.equal(layer(inputs), torch.zeros_like(usual))
    with torch.no_grad():
        layer.weight[2999, 0] += 1 / 3  # a step of training: the copy is out of date
        changed = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        torch.testing.assert_close(layer(inputs), changed, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(changed[:, 2999], usual[:, 2999], atol=1e-3)
    assert narrowed(layer.weight)[0] == torch.float32
