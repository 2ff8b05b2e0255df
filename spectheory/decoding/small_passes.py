"""Makes passes over a few tokens cost little more than one, on CPU.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import torch
from torch import nn

from spectheory.kernels.small_linear import small_linear
from spectheory.kernels.tiled_linear import LANES, starts, tiled_linear, widens_halves

BITS = {torch.bfloat16: np.uint16, torch.float16: np.int16}
"""Integer types that stand for 16-bit floats in compiled code."""

LINE = 32
"""Such floats in a line of the processor's cache, where each layer's tiles begin."""


def speed_up_small_passes(module: nn.Module, narrow: bool = True) -> set[str]:
    """Let the float32 CPU linear layers of a module use our kernels for few rows.

    Weights stay where they are; larger inputs, and inputs that need gradients, take the old path.
    Logits change by rounding only, for whoever runs the module. A layer that is given other
    weights, or whose weights move or are written to, returns to its own path; so do its copies.
    Writes through `.data` are the exception: torch does not count them, so merge adapters before.

    The kernels run on one thread. Where torch has more, they are timed against it on this module,
    and layers of a shape keep them only where they are faster.

    Args:
        module: changed in place.
        narrow: give weights that are bfloat16 or float16 numbers, as those of released models are,
            a copy in that type to be read instead: half as much memory again.

    Returns:
        The types by name that weights are read in; empty if no layer uses our kernels.
    """
    found = [layer for layer in module.modules() if _suits(layer)]
    weights = [layer.weight for layer in found]
    read = tiled(weights) if narrow else [as_they_are(weight) for weight in weights]
    layers = [_read_by_kernel(layer, reads) for layer, reads in zip(found, read, strict=True)]
    if torch.get_num_threads() > 1:
        layers = _worth_it(layers)
    return {str(layer.reads.dtype).removeprefix("torch.") for layer in layers}


class Weights(NamedTuple):
    """Weights for a kernel.

    Attributes:
        dtype: the type that they are read in.
        kernel: called with rows, values and the output.
        values: its array.
        features, size: outputs and inputs.
        most_rows: with more, the kernel was measured to be no faster than matrix libraries.
    """

    dtype: torch.dtype
    kernel: Callable[[np.ndarray, np.ndarray, np.ndarray], None]
    values: np.ndarray
    features: int
    size: int
    most_rows: int


def tiled(weights: Sequence[torch.Tensor]) -> list[Weights]:
    """Weights in 16 bits, in the order of `tiled_linear`, where these hold them exactly.

    The tiles of all of them lie in one array: NumPy asks for huge pages for large arrays only, and
    with pages of the usual size reading takes half as long again.
    """
    shapes = [(len(starts(weight.shape[0])), weight.shape[1], LANES) for weight in weights]
    room = [-(-math.prod(shape) // LINE) * LINE for shape in shapes]
    store = np.empty(sum(room) + LINE, np.uint16)
    begin = -(store.ctypes.data // store.itemsize) % LINE
    read = []
    for weight, shape, taken in zip(weights, shapes, room, strict=True):
        tiles = store[begin : begin + math.prod(shape)].reshape(shape)
        read.append(_narrowed(weight.detach(), tiles) or as_they_are(weight))
        begin += taken
    return read


def _narrowed(weight: torch.Tensor, tiles: np.ndarray) -> Weights | None:
    """Fill tiles by the weights in a type of 16 bits that holds them, if there is one."""
    features, size = weight.shape
    dtypes = [dtype for dtype in BITS if dtype != torch.float16 or widens_halves()]
    firsts = starts(features).tolist()
    for dtype in dtypes if features >= LANES else ():
        narrow = torch.from_numpy(tiles).view(dtype)
        pairs = (
            (weight[first : first + LANES].T, tile)
            for first, tile in zip(firsts, narrow, strict=True)
        )
        if all(torch.equal(tile.copy_(whole).float(), whole) for whole, tile in pairs):
            return Weights(dtype, tiled_linear, tiles.view(BITS[dtype]), features, size, 32)
    return None


def as_they_are(weight: torch.Tensor) -> Weights:
    """Weights of 32 bits, shared with the layer."""
    values = weight.detach().contiguous().numpy()
    features, size = values.shape
    return Weights(weight.dtype, small_linear, values, features, size, 12)


def _suits(layer: nn.Module) -> bool:
    if type(layer) not in (nn.Linear, SmallLinear):  # other kinds may read weights in other ways
        return False
    weight = layer._parameters["weight"]
    return weight is not None and weight.dtype == torch.float32 and weight.device.type == "cpu"


class Seen(NamedTuple):
    """A parameter as it was when a kernel's copy was made of it.

    Attributes:
        name: in the layer.
        parameter: itself.
        address: of its values.
        writes: how many there were; None for tensors made for inference, which do not count.
    """

    name: str
    parameter: torch.Tensor
    address: int
    writes: int | None


class SmallLinear(nn.Linear):
    """A linear layer that reads its weights by a kernel where inputs have few rows.

    Attributes:
        reads: its weights for the kernel.
        added: its bias, on the same memory.
        seen: the parameters that these were made of.
    """

    reads: Weights
    added: np.ndarray | None
    seen: list[Seen]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `torch.nn.Linear`."""
        # A graph that is compiled holds torch's own kernel: it cannot look into this one.
        if torch.compiler.is_compiling() or not self._suits(inputs):
            return super().forward(inputs)
        # NumPy's views cost a fraction of torch's, and there are hundreds of layers in a pass.
        _, kernel, values, features, size, _ = self.reads
        rows = np.ascontiguousarray(inputs.numpy()).reshape(-1, size)
        out = np.empty((len(rows), features), np.float32)
        kernel(rows, values, out)
        if self.added is not None:
            out += self.added
        return torch.from_numpy(out.reshape(*inputs.shape[:-1], features))

    def _suits(self, inputs: torch.Tensor) -> bool:
        if (
            not 0 < inputs.numel() <= self.reads.most_rows * self.reads.size
            or inputs.dtype is not torch.float32
            or inputs.requires_grad
            or torch.is_grad_enabled()
        ):
            return False
        held = self._parameters
        for name, parameter, address, writes in self.seen:
            if (
                held[name] is not parameter
                or parameter.data_ptr() != address
                or (writes is not None and parameter._version != writes)
            ):
                return False
        return True

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Copies, and what is pickled, are plain layers: they come to have weights of their own."""
        own = vars(self).keys() - {"reads", "added", "seen"}
        return object.__new__, (nn.Linear,), {name: vars(self)[name] for name in own}


def _read_by_kernel(layer: nn.Linear, reads: Weights) -> SmallLinear:
    layer.__class__ = SmallLinear
    assert isinstance(layer, SmallLinear)
    layer.reads = reads
    layer.added = None if layer.bias is None else layer.bias.detach().numpy()
    layer.seen = [
        Seen(name, held, held.data_ptr(), None if held.is_inference() else held._version)
        for name, held in layer._parameters.items()
        if held is not None
    ]
    return layer


@torch.inference_mode()
def _worth_it(layers: Sequence[SmallLinear]) -> list[SmallLinear]:
    """The layers whose kernels beat the library's on all threads; the others are plain again.

    One decision for all layers of a shape, in passes over one token and five through all of them,
    so that as in a model a layer's weights are not the last that were read.
    """
    alike: dict[Any, list[SmallLinear]] = defaultdict(list)
    for layer in layers:
        alike[tuple(layer.weight.shape), layer.reads.dtype].append(layer)
    kept = []
    for group in alike.values():
        if _faster(group):
            kept += group
            continue
        for layer in group:
            del layer.reads, layer.added, layer.seen
            layer.__class__ = nn.Linear
    return kept


def _faster(group: Sequence[SmallLinear]) -> bool:
    inputs = [torch.ones(rows, group[0].reads.size) for rows in (1, 5)]
    ours = seconds(lambda: [layer(x) for x in inputs for layer in group])
    theirs = seconds(lambda: [nn.Linear.forward(layer, x) for x in inputs for layer in group])
    return ours < theirs


def seconds(work: Callable[[], object], rounds: int = 7) -> float:
    """The median time of some work, after a first turn that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[rounds // 2]
