"""Do two engines write from one law? Their texts alone decide; no probabilities are needed.

One look, on some thousand texts: `audit_texts`. Watching two engines for as long as it takes:
`spectheory.audit.two_sample_sequential`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spectheory.audit.discrepancy import POWER, Discrepancy, check_alpha, embedding_radius
from spectheory.audit.string_kernels import StringKernel, check_sequences, kernel
from spectheory.errors import InputError, ShapeError, TooLarge

MOST_TEXTS = 12_000
"""A kernel matrix of twice as many would need gigabytes."""

BLOCK = 256
"""Permutations worked on at once."""

ROUNDING = 4e-12
"""What float64 can leave of a discrepancy of 0: weights of absolute sum 2, a kernel up to 1."""


def audit_texts(
    samples: Any,
    reference: Any,
    alpha: float = 1e-3,
    *,
    string_kernel: str | StringKernel = "hamming",
    prompts: tuple[Any, Any] | None = None,
    permutations: int = 4_999,
    seed: int = 0,
) -> Discrepancy:
    """Maximum mean discrepancy of a string kernel, calibrated by permuting the engines' labels.

    The p-value ``(1 + #{permuted >= observed}) / (1 + permutations)`` is exact at any number of
    texts: under equality all labellings are equally likely.

    Args:
        samples: ``(n, T)`` tokens, a text a row, padded with -1.
        reference: ``(m, T')`` tokens of the other engine.
        alpha: false-alarm rate.
        string_kernel: "hamming", "spectrum", or a function of the ``(n + m, T)`` texts; its matrix
            has 1 on the diagonal.
        prompts: ``(n,)`` and ``(m,)`` integers, the prompt of each text. Texts are then compared
            within a prompt only, and labels permuted within it, so prompts need not be equally
            frequent.
        permutations: how many; the p-value is never below one over this plus one.
        seed: of the permutations.

    Raises:
        ShapeError, InputError: no token arrays, prompts that do not match them, or a kernel that
            is not 1 on the diagonal.
        InputError: ``alpha`` below what that many permutations can reach.
        TooLarge: more than `MOST_TEXTS` texts.

    Returns:
        The finding. ``upper`` holds at these numbers of texts, whatever the two laws; with prompts,
        the distance is that of the texts together with the prompts asked.

    Reference: gretton2012kernel; gao2025model.

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(0, 5, (2, 500, 4))
    >>> audit_texts(x, y).biased
    False
    >>> x[::2, 1] = x[::2, 0]  # a repeated token in half of the texts
    >>> audit_texts(x, y).biased
    True
    """
    check_alpha(alpha)
    x, y = check_sequences("samples", samples), check_sequences("reference", reference)
    if alpha * (permutations + 1) < 1:
        raise InputError(
            f"`alpha` is {alpha} and `permutations` {permutations}; a p-value is never below "
            f"1 / {permutations + 1}. Ask for at least {int(np.ceil(1 / alpha))} permutations"
        )
    if len(x) + len(y) > MOST_TEXTS:
        raise TooLarge(
            f"{len(x) + len(y)} texts, more than the {MOST_TEXTS} whose kernel matrix is held in "
            "memory; use `SequentialTwoSample`, which keeps none"
        )
    matrix = kernel(string_kernel)(_joined(x, y))
    diagonal = np.diag(matrix)
    if not np.abs(diagonal - 1).max() < 1e-9:
        raise InputError(
            f"`string_kernel` has {diagonal[np.abs(diagonal - 1).argmax()]:.6g} on the diagonal of "
            "its matrix; expected 1. Divide by the roots of both texts' own values"
        )
    groups = _groups(prompts, len(x), len(y))
    matrix *= groups[:, None] == groups
    weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
    observed = float(weights @ matrix @ weights)
    null = permuted(matrix, weights, groups, permutations, np.random.default_rng(seed))
    # A rounding error must not make a permutation that ties with the observation lose.
    reached = int((null >= observed - ROUNDING).sum())
    # Beyond this value fewer permutations than that reach the observation, and it is rejected.
    critical = np.sort(null)[-int(alpha * (permutations + 1))]
    distance = float(np.sqrt(max(observed, 0.0)))
    named = string_kernel if isinstance(string_kernel, str) else "given"
    draws = (len(x), len(y))
    # |f(x) - f(y)|^2 = 2 - 2 k(x, y), and only a kernel that is given can be negative.
    apart = 2.0 if isinstance(string_kernel, str) else 4.0
    smallest = float(np.sqrt(max(critical, 0.0) + ROUNDING))
    smallest += embedding_radius(draws, apart, 1 - POWER)
    farthest = float(np.sqrt(apart))
    return Discrepancy(
        test=f"{named} string kernel",
        distance=distance,
        unit="maximum mean discrepancy",
        p_bound=(1 + reached) / (1 + permutations),
        calibration="permutation",
        draws=draws,
        alpha=alpha,
        smallest=smallest if smallest < farthest else None,
        upper=min(farthest, distance + embedding_radius(draws, apart, alpha)),
    )


def permuted(
    matrix: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """``(permutations,)`` values of ``w' K w`` with ``w`` permuted within groups."""
    order = np.argsort(groups, kind="stable")
    values = []
    for first in range(0, permutations, BLOCK):
        count = min(BLOCK, permutations - first)
        # Sorting random numbers within each group permutes it.
        keys = groups[order] + rng.random((count, groups.size))
        shuffled = np.empty((groups.size, count))
        shuffled[order] = weights[order][np.argsort(keys, axis=1)].T
        values.append(np.einsum("ij,ij->j", shuffled, matrix @ shuffled))
    return np.concatenate(values)


def _joined(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    length = max(x.shape[1], y.shape[1])
    padded = [np.pad(z, ((0, 0), (0, length - z.shape[1])), constant_values=-1) for z in (x, y)]
    return np.concatenate(padded)


def _groups(prompts: tuple[Any, Any] | None, n: int, m: int) -> np.ndarray:
    """``(n + m,)`` dense numbers of the prompts."""
    if prompts is None:
        return np.zeros(n + m, dtype=np.int64)
    given = [np.asarray(p) for p in prompts]
    if [p.shape for p in given] != [(n,), (m,)]:
        raise ShapeError(
            f"`prompts` has shapes {given[0].shape} and {given[1].shape}; expected ({n},) and "
            f"({m},), the prompt of each text"
        )
    if not np.isin(given[0], given[1]).any():
        raise InputError("`prompts` of the two engines have none in common")
    return np.unique(np.concatenate(given), return_inverse=True)[1]
