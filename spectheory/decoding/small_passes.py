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

from spectheory.decoding.memory import check_room
from spectheory.kernels.small_linear import small_linear
from spectheory.kernels.tiled_linear import LANES, starts, tiled_linear, widens_halves

BITS = {torch.bfloat16: np.uint16, torch.float16: np.int16}
"""Integer types that stand for 16-bit floats in compiled code."""

LINE = 32
"""Such floats in a line of the processor's cache, where each layer's tiles begin."""


def speed_up_small_passes(module: nn.Module, narrow: bool = True, layers: bool = True) -> set[str]:
    """Let the float32 CPU linear layers of a module use our kernels for few rows.

    Weights stay where they are; larger inputs, and inputs that need gradients, take the old path.
    Logits change by rounding only, for whoever runs the module. A layer that is given other
    weights, or whose weights move or are written to, returns to its own path; so do its copies.
    Writes through `.data` are the exception: torch does not count them, so merge adapters before.
    Where all linear layers of a decoder layer are so changed, what lies between them is compiled
    too; see `spectheory.decoding.small_layers`.

    The kernels run on one thread. Where torch has more, those of linear layers are timed against it
    on this module, and layers of a shape keep them only where they are faster.

    Args:
        module: changed in place.
        narrow: give weights that are bfloat16 or float16 numbers, as those of released models are,
            a copy in that type to be read instead: half as much memory again.
        layers: compile what lies between the linear layers of a decoder layer, too.

    Returns:
        The types by name that weights are read in; empty if no layer uses our kernels.
    """
    from spectheory.decoding.small_layers import speed_up_layers

    found = [layer for layer in module.modules() if _suits(layer)]
    weights = [layer.weight for layer in found]
    read = tiled(weights) if narrow else [as_they_are(weight) for weight in weights]
    linears = [_read_by_kernel(layer, reads) for layer, reads in zip(found, read, strict=True)]
    if torch.get_num_threads() > 1:
        linears = _worth_it(linears)
    speed_up_layers(module, layers)
    return {str(linear.reads.dtype).removeprefix("torch.") for linear in linears}


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
    with pages of the usual size reading took about 1.4 times as long on a Xeon.
    """
    shapes = [(len(starts(weight.shape[0])), weight.shape[1], LANES) for weight in weights]
    room = [-(-math.prod(shape) // LINE) * LINE for shape in shapes]
    check_room(
        2 * sum(room),
        "second copy of the weights, in 16 bits",
        "end other programs, take a smaller model, or do without our kernels (--library-kernels)",
    )
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
        held: its layer's parameters.
        name: among them.
        parameter: itself.
        address: of its values.
        writes: how many there were; None for tensors made for inference, which do not count.
    """

    held: dict[str, Any]
    name: str
    parameter: torch.Tensor
    address: int
    writes: int | None

    @classmethod
    def all_of(cls, layer: nn.Module) -> list[Seen]:
        """The parameters of a layer now."""
        held: dict[str, Any] = layer._parameters
        return [
            cls(held, name, own, own.data_ptr(), None if own.is_inference() else own._version)
            for name, own in held.items()
            if own is not None
        ]


def unchanged(seen: Sequence[Seen]) -> bool:
    """Whether parameters are those of before, where they were, and none was written to."""
    for held, name, parameter, address, writes in seen:
        in_place = parameter.data_ptr() == address
        written = writes is not None and parameter._version != writes
        if held.get(name) is not parameter or written or not in_place:
            return False
    return True


def needs_no_gradients(inputs: torch.Tensor) -> bool:
    """Whether inputs are of the kernels' type, and no gradients are wanted."""
    return (
        inputs.dtype is torch.float32
        and not inputs.requires_grad
        and not torch.is_grad_enabled()
        and inputs.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


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
        size = self.reads.size
        # A graph that is compiled holds torch's own kernel: it cannot look into this one.
        if (
            torch.compiler.is_compiling()
            or not needs_no_gradients(inputs)
            or not self.takes(inputs.numel() // size)
        ):
            return super().forward(inputs)
        # NumPy's views cost a fraction of torch's, and there are hundreds of layers in a pass.
        out = self.of_rows(np.ascontiguousarray(inputs.numpy()).reshape(-1, size))
        return torch.from_numpy(out.reshape(*inputs.shape[:-1], out.shape[1]))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """The outputs of ``(m, size)`` rows that it takes, by the kernel."""
        out = np.empty((len(rows), self.reads.features), np.float32)
        self.reads.kernel(rows, self.reads.values, out)
        if self.added is not None:
            out += self.added
        return out

    def takes(self, rows: int) -> bool:
        """Whether the kernel is for so many rows, and has the weights as they are now."""
        return 0 < rows <= self.reads.most_rows and unchanged(self.seen)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Copies, and what is pickled, are plain layers: they come to have weights of their own."""
        own = vars(self).keys() - {"reads", "added", "seen"}
        return object.__new__, (nn.Linear,), {name: vars(self)[name] for name in own}


def _read_by_kernel(layer: nn.Linear, reads: Weights) -> SmallLinear:
    layer.__class__ = SmallLinear
    assert isinstance(layer, SmallLinear)
    layer.reads = reads
    layer.added = None if layer.bias is None else layer.bias.detach().numpy()
    layer.seen = Seen.all_of(layer)
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
