"""Kernels on token sequences: how alike two texts are, position by position or by their pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spectheory.errors import InputError, ShapeError, UnknownName

PADDING = -1
"""Fills the end of a sequence that stopped early."""

StringKernel = Callable[[np.ndarray], np.ndarray]
"""``(N, T)`` sequences to their ``(N, N)`` positive semi-definite matrix, 1 on the diagonal."""


def hamming(sequences: np.ndarray, rate: float = 4.0) -> np.ndarray:
    """``exp(-rate * share of the positions that differ)``.

    A product over positions of positive definite kernels, so it is characteristic: no two laws of
    sequences have discrepancy 0. The mere share of equal positions, often used, sees only the law
    of each position by itself.

    >>> hamming(np.array([[1, 2], [1, 3], [0, 3]]), 2.0)[0].round(6).tolist()
    [1.0, 0.367879, 0.135335]
    """
    equal = np.zeros((len(sequences),) * 2)
    for column in sequences.T:
        equal += column[:, None] == column
    matrix: np.ndarray = np.exp(rate * (equal / sequences.shape[1] - 1))
    return matrix


def spectrum(sequences: np.ndarray, longest: int = 3) -> np.ndarray:
    """Cosine between counts of all pieces of 1 to ``longest`` tokens, wherever they stand.

    Reference: leslie2002spectrum.

    >>> spectrum(np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]])).round(6)[0].tolist()
    [1.0, 0.0, 1.0]
    """
    from scipy.sparse import csr_matrix

    matrix = np.zeros((len(sequences),) * 2)
    for rows, columns, width in pieces(sequences, longest):
        counts = csr_matrix((np.ones(rows.size), (rows, columns)), shape=(len(sequences), width))
        matrix += (counts @ counts.T).toarray()
    norm = np.sqrt(np.diag(matrix))
    cosine: np.ndarray = matrix / (norm[:, None] * norm)
    return cosine


KERNELS: dict[str, StringKernel] = {"hamming": hamming, "spectrum": spectrum}


def kernel(name: str | StringKernel) -> StringKernel:
    """The kernel of that name, or the callable itself.

    Raises:
        UnknownName: no such kernel.
    """
    if callable(name):
        return name
    if name not in KERNELS:
        raise UnknownName(f"no string kernel `{name}`; there are {', '.join(KERNELS)}")
    return KERNELS[name]


def pieces(sequences: np.ndarray, longest: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """For each length up to ``longest``: row and number of every piece, and how many numbers."""
    found = []
    number, length = sequences, sequences.shape[1]
    whole = sequences != PADDING
    for size in range(1, min(longest, length) + 1):
        last = length - size + 1
        if size > 1:  # a piece is the one before it and a token more, both renumbered densely
            number = number[:, :last] * (int(sequences.max()) + 2) + sequences[:, size - 1 :] + 1
            whole = whole[:, :last] & (sequences[:, size - 1 :] != PADDING)
        distinct, dense = np.unique(number, return_inverse=True)
        number = dense.reshape(number.shape)
        rows = np.broadcast_to(np.arange(len(sequences))[:, None], number.shape)
        found.append((rows[whole], number[whole], len(distinct)))
    return found


def check_sequences(name: str, values: Any) -> np.ndarray:
    """``values`` as an ``(n, T)`` int64 array; ``(n,)`` tokens become sequences of one.

    Raises:
        ShapeError: another shape, or no sequence.
        InputError: no integers, ids below `PADDING`, an empty sequence, or tokens after padding.
    """
    tokens = np.asarray(values)
    if tokens.ndim == 1:
        tokens = tokens[:, None]
    if tokens.ndim != 2 or tokens.shape[0] < 1 or tokens.shape[1] == 0:
        raise ShapeError(
            f"`{name}` has shape {np.shape(values)}; expected (n, T) tokens, a text a row. Pad "
            f"shorter ones with {PADDING}"
        )
    if tokens.dtype.kind not in "iu":
        raise InputError(f"`{name}` has dtype {tokens.dtype}; expected integer token ids")
    tokens = tokens.astype(np.int64)
    padded = tokens == PADDING
    if tokens.min() < PADDING or padded[:, 0].any() or (padded[:, :-1] & ~padded[:, 1:]).any():
        raise InputError(
            f"`{name}` holds an id below {PADDING}, an empty text, or tokens after the padding "
            f"({PADDING}) that ends a text"
        )
    return tokens
