import copy
import pickle
import time

import numpy as np
import pytest

from spectheory.kernels.tiled_linear import LANES, starts, widens_halves

torch = pytest.importorskip("torch")

from spectheory.decoding import small_passes  # noqa: E402

NAMES = [
    "float32",
    "bfloat16",
    pytest.param(
        "float16", marks=pytest.mark.skipif(not widens_halves(), reason="no instruction for halves")
    ),
]


def linear(name, features, bias=True):
    """A layer whose weights a type holds exactly, and no smaller type does."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, features, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.to(getattr(torch, name)))
        # 1 + 2^-10 is a float16 but not a bfloat16; 2^-30 is the other way round.
        layer.weight[-1, -1] = 2.0**-30 if name == "bfloat16" else 1 + 2.0**-10
    return layer


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_torch_layer_takes_a_kernel_for_few_rows_only(name, bias, monkeypatch):
    layer = linear(name, 50, bias)
    ran = []

    def counted(kernel):
        def run(rows, *rest):
            ran.append(len(rows))
            kernel(rows, *rest)

        return run

    for kernel in ("small_linear", "tiled_linear"):
        monkeypatch.setattr(small_passes, kernel, counted(getattr(small_passes, kernel)))
    most = 12 if name == "float32" else 32
    batches = [torch.randn(1, count, 24) for count in (1, 3, most, most + 1)]
    with torch.inference_mode():
        before = [layer(batch) for batch in batches]
    changed = torch.nn.Sequential(layer, torch.nn.ReLU())
    assert small_passes.speed_up_small_passes(changed) == {name}
    with torch.inference_mode():
        after = [layer(batch) for batch in batches]
    for one, other in zip(before, after, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert ran == [1, 3, most]
    layer(batches[0]).sum().backward()  # training goes its old way
    assert layer.weight.grad is not None
    assert len(ran) == 3


def test_a_layer_that_is_not_float32_stays_as_it_is():
    half = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    assert small_passes.speed_up_small_passes(half) == set()
    assert type(half) is torch.nn.Linear


@pytest.mark.parametrize("features", [LANES, 3000])
@pytest.mark.parametrize("name", NAMES[1:])
def test_tiles_hold_the_weights(name, features):
    layer = linear(name, features)
    [weights] = small_passes.tiled([layer.weight])
    assert weights.dtype == getattr(torch, name)
    values = torch.from_numpy(weights.values).view(weights.dtype).float().numpy()
    for first, tile in zip(starts(features), values, strict=True):
        own = layer.weight.detach().numpy()[first : first + LANES]
        np.testing.assert_array_equal(tile.T, own)


def test_tiles_of_several_layers_lie_apart_and_begin_with_a_line():
    names = ["float32", "bfloat16", *["float16"] * widens_halves()]
    layers = [linear(name, features) for features in (LANES, 100) for name in names]
    read = small_passes.tiled([layer.weight for layer in layers])
    for layer, (_, kernel, values, features, size, _) in zip(layers, read, strict=True):
        rows, out = np.eye(size, dtype=np.float32), np.empty((size, features), np.float32)
        kernel(rows, values, out)
        np.testing.assert_array_equal(out.T, layer.weight.detach().numpy())
        if kernel is not small_passes.small_linear:
            assert values.ctypes.data % 64 == 0


def test_too_few_outputs_for_a_tile_are_read_as_they_are():
    assert small_passes.tiled([linear("bfloat16", LANES - 1).weight])[0].dtype == torch.float32


def written_to(layer):
    with torch.no_grad():
        layer.weight[2999, 0] += 1 / 3
    return layer


def with_another_weight(layer):
    layer.weight = torch.nn.Parameter(layer.weight.detach() + 1 / 3)
    return layer


def with_other_data(layer):
    layer.weight.data = layer.weight.data + 1 / 3
    return layer


def with_another_bias(layer):
    layer.bias = torch.nn.Parameter(layer.bias.detach() + 1 / 3)
    return layer


def without_bias(layer):
    layer.bias = None
    return layer


def a_changed_copy(layer):
    return written_to(copy.deepcopy(layer))


def a_changed_file(layer):
    return written_to(pickle.loads(pickle.dumps(layer)))


CHANGES = [
    written_to,
    with_another_weight,
    with_other_data,
    with_another_bias,
    without_bias,
    a_changed_copy,
    a_changed_file,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES[1:])
def test_weights_that_change_are_no_longer_read_from_tiles(name, change):
    layer = linear(name, 3000)
    inputs = torch.randn(2, 24)
    with torch.inference_mode():
        usual = layer(inputs)
        small_passes.speed_up_small_passes(layer)
        torch.testing.assert_close(layer(inputs), usual, rtol=1e-5, atol=1e-6)
    changed = change(layer)
    with torch.no_grad():
        expected = torch.nn.functional.linear(inputs, changed.weight, changed.bias)
        torch.testing.assert_close(changed(inputs), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(expected[:, 2999], usual[:, 2999], atol=1e-3)
    # Asked for again, its kernel reads what it has now.
    assert len(small_passes.speed_up_small_passes(changed)) == 1
    with torch.inference_mode():
        torch.testing.assert_close(changed(inputs), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_moves_goes_its_own_way():
    layer = linear("bfloat16", 50)
    small_passes.speed_up_small_passes(layer)
    layer.to("meta")
    with torch.inference_mode():
        assert layer(torch.empty(2, 24, device="meta")).device.type == "meta"


@pytest.mark.parametrize("ours", [1.0, 3.0])
def test_beside_more_threads_the_kernels_stay_where_they_are_faster(ours, monkeypatch):
    """The timings are given: 2 seconds for the library."""
    module = torch.nn.Sequential(linear("bfloat16", 50), torch.nn.ReLU(), linear("bfloat16", 50))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    given = iter([ours, 2.0])
    asked = []

    def seconds(work):
        asked.append(work())  # runs, whoever is timed
        return next(given)

    monkeypatch.setattr(small_passes, "seconds", seconds)
    assert small_passes.speed_up_small_passes(module) == ({"bfloat16"} if ours < 2 else set())
    assert all(type(part) is not torch.nn.Linear for part in module[::2]) == (ours < 2)
    first, second = asked
    assert len(first) == len(second) == 4  # both layers, on one row and on five
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_timed_work_takes_the_time_it_takes():
    assert 0.002 < small_passes.seconds(lambda: time.sleep(0.002), rounds=3) < 2
