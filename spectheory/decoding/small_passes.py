"""Makes passes over a few tokens cost little more than one, on CPU.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from spectheory.kernels.small_linear import small_linear
from spectheory.kernels.tiled_linear import LANES, starts, tiled_linear, widens_halves

BITS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}
"""Integer types that stand for 16-bit floats in compiled code."""


class Weights(NamedTuple):
    """Weights for a kernel.

    Attributes:
        dtype: the type that they are read in.
        kernel: called with rows, values and the output.
        values: its array.
        most_rows: with more, the kernel was measured to be no faster than matrix libraries.
    """

    dtype: torch.dtype
    kernel: Callable[[np.ndarray, np.ndarray, np.ndarray], None]
    values: np.ndarray
    most_rows: int


def speed_up_small_passes(module: nn.Module, narrow: bool = True) -> set[str]:
    """Let the float32 CPU linear layers of a module use our kernels for few rows.

    Weights stay where they are; larger inputs, and inputs that need gradients, take the old path.
    Logits change by rounding only, for whoever runs the module. A layer whose weights change
    afterwards returns to its own path.

    Args:
        module: changed in place.
        narrow: give weights that are bfloat16 or float16 numbers, as those of released models are,
            a copy in that type to be read instead: half as much memory again.

    Returns:
        The types by name that weights are read in; empty if there is no such layer.
    """
    read = set()
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if type(layer) is not nn.Linear or weight is None:
            continue
        if weight.dtype == torch.float32 and weight.device.type == "cpu":
            values = tiled(weight) if narrow else as_they_are(weight)
            layer.forward = _forward(layer, values)
            read.add(str(values.dtype).removeprefix("torch."))
    return read


def tiled(weight: torch.Tensor) -> Weights:
    """Weights in 16 bits, in the order of `tiled_linear`, if these hold them exactly."""
    weight = weight.detach()
    features, size = weight.shape
    dtypes = [dtype for dtype in BITS if dtype != torch.float16 or widens_halves()]
    for dtype in dtypes if features >= LANES else ():
        firsts = starts(features).tolist()
        tiles = torch.empty((len(firsts), size, LANES), dtype=dtype)
        pairs = (
            (weight[first : first + LANES].T, tile)
            for first, tile in zip(firsts, tiles, strict=True)
        )
        if all(torch.equal(tile.copy_(whole).float(), whole) for whole, tile in pairs):
            return Weights(dtype, tiled_linear, tiles.view(BITS[dtype]).numpy(), 32)
    return as_they_are(weight)


def as_they_are(weight: torch.Tensor) -> Weights:
    """Weights of 32 bits, shared with the layer."""
    return Weights(weight.dtype, small_linear, weight.detach().contiguous().numpy(), 12)


def _version(weight: torch.Tensor) -> int:
    """Counts writes; tensors made for inference do not count theirs."""
    return 0 if weight.is_inference() else weight._version


def _forward(layer: nn.Linear, read: Weights) -> Callable[[torch.Tensor], torch.Tensor]:
    usual = layer.forward
    held = layer._parameters
    weight, version = layer.weight, _version(layer.weight)
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    features, size = layer.weight.shape
    _, kernel, values, most_rows = read
    most = most_rows * size

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        # A graph that is compiled holds torch's own kernel: it cannot look into this one.
        if (
            not 0 < inputs.numel() <= most
            or inputs.dtype is not torch.float32
            or inputs.requires_grad
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or held["weight"] is not weight
            or _version(weight) != version
        ):
            return usual(inputs)
        # NumPy's views cost a fraction of torch's, and there are hundreds of layers in a pass.
        rows = np.ascontiguousarray(inputs.numpy()).reshape(-1, size)
        out = np.empty((len(rows), features), np.float32)
        kernel(rows, values, out)
        if bias is not None:
            out += bias
        return torch.from_numpy(out.reshape(*inputs.shape[:-1], features))

    return forward
