"""Fréchet distance between sets of images, with the permutation law of "no difference".

Features are the leading principal components of the real digits' pixels: no network decides what
counts as a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from spectheory.digits.data import digits
from spectheory.errors import ShapeError

COMPONENTS = 24
"""They hold 92.6% of the pixels' variance."""


class FrechetTest(NamedTuple):
    """A distance beside its null law.

    Attributes:
        distance: see `frechet_distance`.
        p_value: share of permutations, the identity included, with a distance at least as large.
        null: ``(permutations,)`` distances when images are dealt to the two sets at random.
    """

    distance: float
    p_value: float
    null: np.ndarray


@cache
def _axes() -> tuple[np.ndarray, np.ndarray]:
    pixels = digits("all").tokens.reshape(-1, 64).astype(np.float64)
    centre = pixels.mean(axis=0)
    return centre, np.linalg.svd(pixels - centre, full_matrices=False)[2][:COMPONENTS].T


def features(tokens: np.ndarray) -> np.ndarray:
    """``(n, 24)`` principal components of ``(n, 16, 4)`` tokens."""
    centre, axes = _axes()
    return np.asarray((tokens.reshape(len(tokens), -1) - centre) @ axes)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` of two sets of features.

    Args:
        first: ``(n, f)``.
        second: ``(m, f)``.

    Raises:
        ShapeError: other numbers of features, or fewer than two rows.

    Reference: dowson1982frechet.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(frechet_distance(x, x + 2.0), 6)
    12.0
    """
    if first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise ShapeError(f"features of shapes {first.shape} and {second.shape}; one row an image")
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    gap = first.mean(axis=0) - second.mean(axis=0)
    return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * cross)


def frechet_test(
    first: np.ndarray,
    second: np.ndarray,
    permutations: int,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _: None,
    labels: np.ndarray | None = None,
) -> FrechetTest:
    """Permutation test that two sets of features have one law; exact for independent rows.

    Rows of given labels are independent within a label only. Without the labels the test is then
    conservative, and its null distances too large: dealt at random, sets differ in their labels.

    Args:
        first: ``(n, f)``.
        second: ``(m, f)``.
        permutations: how many.
        rng: deals.
        progress: called with the number done.
        labels: ``(n,)`` of both sets, row by row; n = m.

    Raises:
        ShapeError: other numbers of features, fewer than two rows, or labels of another length.

    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> frechet_test(x[:100], x[100:] + 1.0, 99, np.random.default_rng(1)).p_value
    0.01
    """
    distance, pool = frechet_distance(first, second), np.concatenate([first, second])
    null = np.empty(permutations)
    for i in range(permutations):
        order = _deal(len(first), len(second), rng, labels)
        null[i] = frechet_distance(pool[order[: len(first)]], pool[order[len(first) :]])
        progress(i + 1)
    return FrechetTest(distance, float((1 + (null >= distance).sum()) / (1 + permutations)), null)


def _deal(n: int, m: int, rng: np.random.Generator, labels: np.ndarray | None) -> np.ndarray:
    """``(n + m,)`` order of the pooled rows; with labels, each of them as often in either set."""
    if labels is None:
        return rng.permutation(n + m)
    if not len(labels) == n == m:
        raise ShapeError(f"`labels` has {len(labels)} rows, the sets have {n} and {m}")
    order, both = np.empty(n + m, dtype=np.int64), np.tile(labels, 2)
    for label in np.unique(labels):
        rows = np.flatnonzero(both == label)
        order[rows] = rng.permutation(rows)
    return order
