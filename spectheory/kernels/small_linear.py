"""A linear layer of a few rows that reads each weight once.

A pass over one token is bound by reading the weights. Matrix libraries switch to a kernel that
packs the weights first as soon as there are two or four rows, and a pass over a short draft then
costs up to twice as much as one over a single token. Without packing, it need not. This is for
weights that need all 32 bits; most do not, see `spectheory.kernels.tiled_linear`.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(fastmath=True, error_model="numpy", nogil=True)
def small_linear(rows: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """``out = rows @ weight.T``, four rows at a time against each row of weights.

    Sums are reordered (``fastmath``), as matrix libraries do, so results agree with theirs up to
    rounding.

    Args:
        rows: ``(m, n)`` float32, C-contiguous.
        weight: ``(v, n)`` float32, C-contiguous.
        out: ``(m, v)`` float32, written.

    >>> out = np.empty((1, 2), np.float32)
    >>> small_linear(np.ones((1, 3), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3), out)
    >>> out.tolist()
    [[3.0, 12.0]]
    """
    count, size = rows.shape
    for o in range(weight.shape[0]):
        done = 0
        while count - done >= 4:
            a = b = c = d = np.float32(0)
            for i in range(size):
                w = weight[o, i]
                a += w * rows[done, i]
                b += w * rows[done + 1, i]
                c += w * rows[done + 2, i]
                d += w * rows[done + 3, i]
            out[done, o], out[done + 1, o], out[done + 2, o], out[done + 3, o] = a, b, c, d
            done += 4
        if count - done == 3:
            a = b = c = np.float32(0)
            for i in range(size):
                w = weight[o, i]
                a += w * rows[done, i]
                b += w * rows[done + 1, i]
                c += w * rows[done + 2, i]
            out[done, o], out[done + 1, o], out[done + 2, o] = a, b, c
        elif count - done == 2:
            a = b = np.float32(0)
            for i in range(size):
                w = weight[o, i]
                a += w * rows[done, i]
                b += w * rows[done + 1, i]
            out[done, o], out[done + 1, o] = a, b
        elif count - done == 1:
            a = np.float32(0)
            for i in range(size):
                a += weight[o, i] * rows[done, i]
            out[done, o] = a
