"""Tells weights apart where names do not: a folder can be filled anew, and two end in one name.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from spectheory.decoding.lookup_first import LookupFirst

READ = 4096
"""Values of each tensor that are read; weights that training tells apart differ in nearly all."""


def fingerprint(module: nn.Module) -> str:
    """A digest of all tensors' names, types and shapes, and of values spread evenly over each.

    Args:
        module: any; quick for large ones, too.

    >>> layer = nn.Linear(2, 3)
    >>> before = fingerprint(layer)
    >>> with torch.no_grad():
    ...     _ = layer.weight.mul_(2)
    >>> fingerprint(layer) == before
    False
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().reshape(-1)
        some = values[:: max(1, len(values) // READ)].contiguous().cpu()
        digest.update(some.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def fingerprint_of_draft(source: Any) -> str:
    """That of the weights which a draft source has of its own; empty if it has none.

    An early exit has none: its weights are the target's.
    """
    if isinstance(source, LookupFirst):
        return fingerprint_of_draft(source.other)
    model = getattr(source, "model", None)
    model = getattr(model, "draft", model)  # behind a pruned head
    module = getattr(model, "parts", getattr(model, "module", None))
    return "" if module is None else fingerprint(module)
