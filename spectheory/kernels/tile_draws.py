"""Draws from rows of masses by inverse transform, the vocabulary taken a tile at a time."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True, fastmath={"reassoc"})
def row_sum(mass: np.ndarray) -> float:
    """Sum of ``(n,)`` masses, in any order.

    >>> row_sum(np.array([0.5, 0.25]))
    0.75
    """
    total = 0.0
    for x in range(mass.shape[0]):
        total += mass[x]
    return total


@compiled(nogil=True)
def _first_above(mass: np.ndarray, goal: float) -> tuple[int, float]:
    """First entry that the running sum exceeds the goal at, and the sum before it.

    Where rounding leaves none, the last entry that adds to the sum.
    """
    found, before, through = 0, 0.0, 0.0
    for x in range(mass.shape[0]):
        following = through + mass[x]
        if following > through:
            found, before = x, through
            if following > goal:
                break
        through = following
    return found, before


@compiled(nogil=True)
def tile_draws(mass: np.ndarray, uniforms: np.ndarray, tile: int, tokens: np.ndarray) -> None:
    """Fill ``tokens`` ``(n,)`` as `batched.draws.draw` says.

    Args:
        mass: ``(n, V)``, non-negative, each row with some mass.
        uniforms: ``(n,)``.
        tile: entries that are summed together before the first search.

    >>> tokens = np.empty(2, np.int64)
    >>> mass = np.array([[0.0, 0.25, 0.75, 0.0]] * 2)
    >>> tile_draws(mass, np.array([0.0, 0.999]), 2, tokens)
    >>> tokens.tolist()
    [1, 2]
    """
    size = mass.shape[1]
    sums = np.empty((size + tile - 1) // tile)
    for n in range(mass.shape[0]):
        for i in range(sums.shape[0]):
            sums[i] = row_sum(mass[n, i * tile : (i + 1) * tile])
        total = 0.0
        for i in range(sums.shape[0]):
            total += sums[i]
        goal = uniforms[n] * total
        i, before = _first_above(sums, goal)
        inside, _ = _first_above(mass[n, i * tile : (i + 1) * tile], goal - before)
        tokens[n] = i * tile + inside


@compiled(nogil=True)
def draw_left(
    left: np.ndarray, target: np.ndarray, uniforms: np.ndarray, tile: int, tokens: np.ndarray
) -> None:
    """`tile_draws` of ``(1, V)`` masses, or of the target where they hold nothing.

    Falling back to the target is the convention for empty residuals.

    >>> tokens = np.empty(1, np.int64)
    >>> draw_left(np.zeros((1, 2)), np.array([[0.25, 0.75]]), np.array([0.5]), 2, tokens)
    >>> tokens.tolist()
    [1]
    """
    most = 0.0
    for x in range(left.shape[1]):
        most = max(most, left[0, x])
    tile_draws(left if most > 0.0 else target, uniforms, tile, tokens)
