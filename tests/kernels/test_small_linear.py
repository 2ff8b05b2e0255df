import numpy as np
import pytest

from spectheory.kernels.small_linear import MOST_ROWS, small_linear


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
    assert small_passes.speed_up_small_passes(torch.nn.Sequential(layer, torch.nn.ReLU())) == 1
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
    assert small_passes.speed_up_small_passes(half) == 0
