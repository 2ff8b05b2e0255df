"""A linear layer of a few rows that reads weights of 16 bits, in the order in which memory lies.

Weights that 16 bits hold exactly need half the reading. They lie in tiles of `LANES` outputs:
``tiles[t, i]`` are the weights of input ``i`` for the outputs of tile ``t``, beside each other. A
tile is read once from front to back, its sums stay in registers, and each of them adds up its
inputs in order. So a row's results are the same bits however many rows come with it.
"""

from __future__ import annotations

import platform
from typing import Any

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

MOST_AT_ONCE = 6
"""Rows whose sums over a tile fit into sixteen registers of eight floats, weights beside them."""

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


def starts(features: int) -> np.ndarray:
    """The first output of each tile; the last tile repeats some where they do not divide evenly."""
    return np.minimum(np.arange(0, features, LANES), features - LANES)


def _sums(count: int) -> Any:
    """``out[row + r, o + j] = sum_i rows[row + r, i] * tiles[tile, i, j]`` for ``r < count``.

    Numba by itself does not keep so many sums in registers.
    """

    @intrinsic
    def sums(_: Any, rows: Any, row: Any, tiles: Any, tile: Any, out: Any, o: Any) -> Any:
        if {rows.layout, tiles.layout, out.layout} != {"C"} or tiles.dtype not in WIDENED:
            return None  # no such version: numba reports the types it was called with

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def array(number: int) -> Any:
                return context.make_array(signature.args[number])(
                    context, builder, arguments[number]
                )

            def address(number: int, *index: Any) -> Any:
                kind = signature.args[number]
                return cgutils.get_item_pointer(context, builder, kind, array(number), index)

            row, tile, o = arguments[1], arguments[3], arguments[5]
            zero, one = row.type(0), row.type(1)
            size = cgutils.unpack_tuple(builder, array(0).shape)[1]
            each = [builder.add(row, row.type(r)) for r in range(count)]
            inputs = [address(0, r, zero) for r in each]
            weights = address(2, tile, zero, zero)
            totals = [cgutils.alloca_once(builder, VECTOR) for _ in each]
            for total in totals:
                builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)
            with cgutils.for_range_slice(builder, zero, size, one) as (i, _):
                at = builder.gep(weights, [builder.mul(i, i.type(LANES))])
                bits = builder.load(builder.bitcast(at, BITS.as_pointer()), align=2)
                weight = _widened(builder, bits, signature.args[2].dtype)
                for source, total in zip(inputs, totals, strict=True):
                    value = _in_all_lanes(builder, builder.load(builder.gep(source, [i])))
                    product = builder.fmul(weight, value, flags=FUSED)
                    builder.store(builder.fadd(builder.load(total), product, flags=FUSED), total)
            for r, total in zip(each, totals, strict=True):
                at = builder.bitcast(address(4, r, o), VECTOR.as_pointer())
                builder.store(builder.load(total), at, align=4)
            return context.get_dummy_value()

        return types.void(rows, types.intp, tiles, types.intp, out, types.intp), generate

    return sums


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


_1, _2, _3, _4, _5, _6 = (_sums(count) for count in range(1, 7))


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
    for t in range(tiles.shape[0]):
        o = min(t * LANES, out.shape[1] - LANES)
        done = 0
        while done < count:
            # In shares as even as possible; a tile that is visited again comes from the cache.
            left = count - done
            share = -(-left // -(-left // MOST_AT_ONCE))
            if share == 1:
                _1(rows, done, tiles, t, out, o)
            elif share == 2:
                _2(rows, done, tiles, t, out, o)
            elif share == 3:
                _3(rows, done, tiles, t, out, o)
            elif share == 4:
                _4(rows, done, tiles, t, out, o)
            elif share == 5:
                _5(rows, done, tiles, t, out, o)
            else:
                _6(rows, done, tiles, t, out, o)
            done += share
