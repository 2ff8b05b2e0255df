"""A linear layer of a few rows that reads weights of 16 bits, in the order in which memory lies.

Weights that 16 bits hold exactly need half the reading. They lie in tiles of `LANES` outputs:
``tiles[t, i]`` are the weights of input ``i`` for the outputs of tile ``t``, beside each other.
Tiles are read once from front to back, two side by side where the registers hold their sums, and
are asked for `AHEAD` of their use: one core waits for memory more than it computes. Each sum adds
up its inputs in order, so a row's results are the same bits however many rows come with it.
"""

from __future__ import annotations

import platform
from itertools import chain
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spectheory.kernels.compiling import compiled

LANES = 16
"""Outputs of a tile."""

PAIR = 2
"""Tiles that are gone through in turn, side by side where registers hold the sums over both."""

AHEAD = 4096
"""Bytes between what is computed with and what is asked for: of 512 to 8,192 the best on a Xeon."""

BITS, HALVES, WORDS, VECTOR = (
    ir.VectorType(kind, LANES)
    for kind in (ir.IntType(16), ir.HalfType(), ir.IntType(32), ir.FloatType())
)
WIDENED = (types.uint16, types.int16)
FUSED = ("contract",)
"""A product may be rounded with its sum; sums keep their order."""


def widens_halves() -> bool:
    """Whether compiled code can widen halves: the processor must have an instruction for it."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return False  # compiled for another processor than this one
    return platform.machine() in ("arm64", "aarch64") or bool(get_host_cpu_features().get("f16c"))


def _wide() -> bool:
    """Whether there are 32 registers of sixteen floats, rather than 16 of eight."""
    ours = not (numba.config.CPU_NAME or numba.config.CPU_FEATURES)
    return ours and bool(get_host_cpu_features().get("avx512vl"))


SUMS_AT_ONCE = 20 if _wide() else 6
"""Sums over a tile that the registers hold, weights beside them."""

MOST_AT_ONCE = 10 if _wide() else 6
"""Rows that are read with a tile at once."""


def starts(features: int) -> np.ndarray:
    """The first output of each tile; the last tile repeats some where they do not divide evenly."""
    return np.minimum(np.arange(0, features, LANES), features - LANES)


@intrinsic
def _sums(_: Any, rows: Any, row: Any, count: Any, tiles: Any, tile: Any, out: Any) -> Any:
    """``out[row + r, o + j] = sum_i rows[row + r, i] * tiles[t, i, j]`` for ``r < count``.

    For the pair of tiles from ``tile`` on, ``o`` being the first output of tile ``t``; at the end
    of an odd number the last one is its own partner. Each count up to `MOST_AT_ONCE` has a loop of
    its own: numba by itself does not keep so many sums in registers.
    """
    if {rows.layout, tiles.layout, out.layout} != {"C"} or tiles.dtype not in WIDENED:
        return None  # no such version: numba reports the types it was called with

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        index = arguments[1].type
        done = builder.append_basic_block("done")
        by_count = builder.switch(arguments[2], done)
        for each in range(1, MOST_AT_ONCE + 1):
            block = builder.append_basic_block(f"rows.{each}")
            by_count.add_case(index(each), block)
            builder.position_at_end(block)
            _loops(_Arrays(context, builder, signature, arguments), each)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, tiles, types.intp, out), generate


class _Arrays(NamedTuple):
    """What `_sums` was called with, by the number of the argument."""

    context: Any
    builder: Any
    signature: Any
    arguments: Any

    def shape(self, number: int) -> Any:
        return cgutils.unpack_tuple(self.builder, self._struct(number).shape)

    def address(self, number: int, *index: Any) -> Any:
        kind, array = self.signature.args[number], self._struct(number)
        return cgutils.get_item_pointer(self.context, self.builder, kind, array, index)

    def _struct(self, number: int) -> Any:
        kind = self.context.make_array(self.signature.args[number])
        return kind(self.context, self.builder, self.arguments[number])


def _loops(given: _Arrays, count: int) -> None:
    """The loops of `_sums` over the inputs, for so many rows."""
    builder, (_, row, _, _, tile, _) = given.builder, given.arguments

    def least(a: Any, b: Any) -> Any:
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    index = row.type
    zero, one, lanes = index(0), index(1), index(LANES)
    last, rightmost = builder.sub(given.shape(3)[0], one), builder.sub(given.shape(5)[1], lanes)
    numbers = [builder.add(row, index(r)) for r in range(count)]
    inputs = [given.address(0, r, zero) for r in numbers]
    side_by_side = PAIR if PAIR * count <= SUMS_AT_ONCE else 1
    for first in range(0, PAIR, side_by_side):
        places = range(first, first + side_by_side)
        chosen = [least(builder.add(tile, index(place)), last) for place in places]
        weights = [given.address(3, t, zero, zero) for t in chosen]
        totals = [[cgutils.alloca_once(builder, VECTOR) for _ in numbers] for _ in chosen]
        for total in chain.from_iterable(totals):
            builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)
        with cgutils.for_range_slice(builder, zero, given.shape(0)[1], one) as (i, _):
            sources = [builder.load(builder.gep(source, [i])) for source in inputs]
            values = [_in_all_lanes(builder, value) for value in sources]
            for start, of_tile in zip(weights, totals, strict=True):
                at = builder.gep(start, [builder.mul(i, lanes)])
                _ask_for(builder, at)
                bits = builder.load(builder.bitcast(at, BITS.as_pointer()), align=2)
                weight = _widened(builder, bits, given.signature.args[3].dtype)
                for value, total in zip(values, of_tile, strict=True):
                    product = builder.fmul(weight, value, flags=FUSED)
                    builder.store(builder.fadd(builder.load(total), product, flags=FUSED), total)
        for t, of_tile in zip(chosen, totals, strict=True):
            output = least(builder.mul(t, lanes), rightmost)
            for r, total in zip(numbers, of_tile, strict=True):
                at = builder.bitcast(given.address(5, r, output), VECTOR.as_pointer())
                builder.store(builder.load(total), at, align=4)


def _ask_for(builder: Any, address: Any) -> None:
    """Have the cache line that lies `AHEAD` of an address read; behind the end it is no fault."""
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    line = builder.gep(builder.bitcast(address, byte), [ir.IntType(64)(AHEAD)])
    reading, once_and_again, data = word(0), word(3), word(1)
    builder.call(prefetch, [line, reading, once_and_again, data])


def _widened(builder: Any, bits: Any, kind: Any) -> Any:
    """Float32 from the bits of bfloat16 (uint16), their upper half, or of halves (int16)."""
    if kind == types.int16:
        return builder.fpext(builder.bitcast(bits, HALVES), VECTOR)
    words = builder.shl(builder.zext(bits, WORDS), ir.Constant(WORDS, [16] * LANES))
    return builder.bitcast(words, VECTOR)


def _in_all_lanes(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(WORDS, [0] * LANES))


@compiled(nogil=True)
def tiled_linear(rows: np.ndarray, tiles: np.ndarray, out: np.ndarray) -> None:
    """``out = rows @ weight.T`` for weights in tiles.

    Args:
        rows: ``(m, n)`` float32, C-contiguous.
        tiles: ``(t, n, LANES)``, C-contiguous, bits of bfloat16 (uint16) or of halves (int16).
            Tile ``t`` holds the outputs from ``starts(v)[t]`` on.
        out: ``(m, v)`` float32, C-contiguous, written; ``v >= LANES``.

    >>> out = np.empty((1, LANES), np.float32)
    >>> ones = np.full((1, 3, LANES), 0x3F80, np.uint16)
    >>> tiled_linear(np.ones((1, 3), np.float32), ones, out)
    >>> out[0, :4].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    count = rows.shape[0]
    for t in range(0, tiles.shape[0], PAIR):
        done = 0
        while done < count:
            # In shares as even as possible; tiles that are visited again come from the cache.
            left = count - done
            share = -(-left // -(-left // MOST_AT_ONCE))
            _sums(rows, done, share, tiles, t, out)
            done += share
