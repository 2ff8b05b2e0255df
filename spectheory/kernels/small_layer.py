"""A decoder layer of the kind of Llama's, of few rows, but for its attention.

Between its linear maps lie a dozen operations on a few thousand numbers each. They take less time
than a library's call of any one of them, whose code the weights have driven out of the caches.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.small_linear import small_linear
from spectheory.kernels.tiled_linear import tiled_linear


@compiled(nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def rms_norm(rows: np.ndarray, weight: np.ndarray, epsilon: float, out: np.ndarray) -> None:
    """Fill ``out``: each row over its root mean square, times ``weight``.

    Args:
        rows, out: ``(m, n)`` float32.
        weight: ``(n,)`` float32.
        epsilon: added to the mean square.

    >>> out = np.empty((1, 2), np.float32)
    >>> rms_norm(np.array([[3, 3]], np.float32), np.array([1, 2], np.float32), 0.0, out)
    >>> out.tolist()
    [[1.0, 2.0]]
    """
    size = rows.shape[1]
    for m in range(rows.shape[0]):
        squares = np.float32(0)
        for i in range(size):
            squares += rows[m, i] * rows[m, i]
        scale = np.float32(1 / np.sqrt(squares / size + epsilon))
        for i in range(size):
            out[m, i] = weight[i] * (rows[m, i] * scale)


@compiled(nogil=True)
def rotate(states: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """Turn each pair (entry i of a head's first half, of its second) in place by its angle.

    Args:
        states: ``(m, heads, n)`` float32, n even.
        cos, sin: ``(m, n)`` float32.

    >>> states = np.array([[[3, 4]]], np.float32)
    >>> rotate(states, np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32))
    >>> states.tolist()
    [[[-4.0, 3.0]]]
    """
    half = states.shape[2] // 2
    for m in range(states.shape[0]):
        for head in range(states.shape[1]):
            for i in range(half):
                first, second = states[m, head, i], states[m, head, half + i]
                states[m, head, i] = first * cos[m, i] - second * sin[m, i]
                states[m, head, half + i] = second * cos[m, half + i] + first * sin[m, half + i]


@compiled(nogil=True)
def linear(rows: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """``(m, v)`` outputs of rows, whose weights are as they are or in tiles.

    Args:
        rows: ``(m, n)`` float32, C-contiguous.
        weights: of `small_linear`, or of `tiled_linear` for as many outputs as ``bias`` has.
        bias: ``(v,)`` float32.

    >>> linear(np.ones((1, 2), np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    array([[1., 1.]], dtype=float32)
    """
    out = np.empty((rows.shape[0], bias.shape[0]), np.float32)
    if weights.ndim == 3:
        tiled_linear(rows, weights, out)
    else:
        small_linear(rows, weights, out)
    for m in range(out.shape[0]):
        for o in range(out.shape[1]):
            out[m, o] += bias[o]
    return out


@compiled(nogil=True)
def queries(
    inputs: np.ndarray,
    norm: tuple[np.ndarray, float],
    query: tuple[np.ndarray, np.ndarray],
    key: tuple[np.ndarray, np.ndarray],
    value: tuple[np.ndarray, np.ndarray],
    cos: np.ndarray,
    sin: np.ndarray,
    starts: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """The layer up to its attention: its ``(B, T, heads, n)`` queries; writes keys and values.

    Args:
        inputs: ``(B, T, size)`` float32.
        norm: weight and epsilon of the norm before the attention.
        query, key, value: weights and bias of each map; see `linear`.
        cos, sin: ``(B, T, n)``; see `rotate`.
        starts: ``(B,)`` slots of the texts' first tokens.
        keys, values: ``(B, groups, slots, n)`` float32.
    """
    batch, tokens, size = inputs.shape
    count, width = batch * tokens, cos.shape[2]
    rows = inputs.reshape(count, size)
    normed = np.empty_like(rows)
    rms_norm(rows, norm[0], norm[1], normed)
    turned = linear(normed, query[0], query[1]).reshape(count, -1, width)
    own = linear(normed, key[0], key[1]).reshape(count, -1, width)
    held = linear(normed, value[0], value[1]).reshape(count, -1, width)
    for heads in (turned, own):
        rotate(heads, cos.reshape(count, width), sin.reshape(count, width))
    for m in range(count):
        text, slot = m // tokens, starts[m // tokens] + m % tokens
        for head in range(own.shape[1]):
            for i in range(width):
                keys[text, head, slot, i] = own[m, head, i]
                values[text, head, slot, i] = held[m, head, i]
    return turned.reshape(batch, tokens, -1, width)


@compiled(nogil=True, error_model="numpy")
def outputs(
    inputs: np.ndarray,
    read: np.ndarray,
    out: tuple[np.ndarray, np.ndarray],
    norm: tuple[np.ndarray, float],
    gate: tuple[np.ndarray, np.ndarray],
    up: tuple[np.ndarray, np.ndarray],
    down: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """The layer from its attention on: ``(B, T, size)`` of inputs and ``(B, T, heads, n)`` read."""
    batch, tokens, size = inputs.shape
    count = batch * tokens
    sums = linear(read.reshape(count, -1), out[0], out[1])
    sums += inputs.reshape(count, size)
    normed = np.empty_like(sums)
    rms_norm(sums, norm[0], norm[1], normed)
    inner = linear(normed, gate[0], gate[1])
    factors = linear(normed, up[0], up[1])
    for m in range(count):
        for i in range(inner.shape[1]):
            x = inner[m, i]
            inner[m, i] = x / (np.float32(1) + np.exp(-x)) * factors[m, i]
    sums += linear(inner, down[0], down[1])
    return sums.reshape(batch, tokens, size)
