"""Makes passes over a few tokens cost little more than one, on CPU.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from spectheory.kernels.small_linear import MOST_ROWS, small_linear


def speed_up_small_passes(module: nn.Module) -> int:
    """Let the float32 CPU linear layers of a module use `small_linear` up to `MOST_ROWS` rows.

    Weights stay where they are; larger inputs, and inputs that need gradients, take the old path.
    Logits change by rounding only, for whoever runs the module.

    Returns:
        How many layers it applies to.
    """
    changed = 0
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if type(layer) is not nn.Linear or weight is None:
            continue
        if weight.dtype == torch.float32 and weight.device.type == "cpu":
            layer.forward = _forward(layer)
            changed += 1
    return changed


def _forward(layer: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    usual = layer.forward
    weight = layer.weight.detach().contiguous()
    bias = None if layer.bias is None else layer.bias.detach()
    values = weight.numpy()

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        size = inputs.shape[-1]
        few = 0 < inputs.numel() <= MOST_ROWS * size
        # A graph that is compiled holds torch's own kernel: it cannot look into this one.
        if not few or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return usual(inputs)
        rows = inputs.reshape(-1, size).contiguous()
        out = torch.empty(rows.shape[0], values.shape[0])
        small_linear(rows.numpy(), values, out.numpy())
        if bias is not None:
            out += bias
        return out.view(*inputs.shape[:-1], values.shape[0])

    return forward
