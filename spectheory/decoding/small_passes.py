"""Makes passes over a few tokens cost little more than one, on CPU.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from spectheory.kernels.small_linear import MOST_ROWS, small_linear
from spectheory.kernels.widening import widens_halves

BITS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}
"""Integer types that stand for 16-bit floats; see `spectheory.kernels.widening`."""

BLOCK = 1024
"""Rows of weights compared at a time: a large head is not held a third time."""


def speed_up_small_passes(module: nn.Module) -> set[str]:
    """Let the float32 CPU linear layers of a module use `small_linear` up to `MOST_ROWS` rows.

    Weights stay where they are; larger inputs, and inputs that need gradients, take the old path.
    Logits change by rounding only, for whoever runs the module. Weights that are bfloat16 or
    float16 numbers, as those of released models are, get a copy in that type to be read instead:
    half as much memory again. A layer whose weights change afterwards returns to its own.

    Returns:
        The types by name that weights are read in; empty if there is no such layer.
    """
    read = set()
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if type(layer) is not nn.Linear or weight is None:
            continue
        if weight.dtype == torch.float32 and weight.device.type == "cpu":
            dtype, values = narrowed(weight)
            layer.forward = _forward(layer, values)
            read.add(str(dtype).removeprefix("torch."))
    return read


def narrowed(weight: torch.Tensor) -> tuple[torch.dtype, np.ndarray]:
    """The smallest float type that holds the weights exactly, and them for `small_linear`."""
    weight = weight.detach().contiguous()
    for dtype, bits in BITS.items():
        if dtype == torch.float16 and not widens_halves():
            continue
        copy = torch.empty(weight.shape, dtype=dtype)
        blocks = zip(weight.split(BLOCK), copy.split(BLOCK), strict=True)
        if all(torch.equal(part.copy_(whole).float(), whole) for whole, part in blocks):
            return dtype, copy.view(bits).numpy()
    return weight.dtype, weight.numpy()


def _version(weight: torch.Tensor) -> int:
    """Counts writes; tensors made for inference do not count theirs."""
    return 0 if weight.is_inference() else weight._version


def _forward(layer: nn.Linear, values: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
    usual = layer.forward
    held = layer._parameters
    weight, version = layer.weight, _version(layer.weight)
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    features, size = values.shape
    most = MOST_ROWS * size

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
        small_linear(rows, values, out)
        if bias is not None:
            out += bias
        return torch.from_numpy(out.reshape(*inputs.shape[:-1], features))

    return forward
