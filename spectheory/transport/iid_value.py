"""The optimum for i.i.d. drafts at real vocabulary sizes: value, cap and certificate, no full sort.

With r = p/q and H running over the prefixes of ascending r,

    alpha* = 1 + min over H of [ p(H) - q(H)^k ]            (dual: any H bounds alpha* from above)
           = sum_x min(p(x), c q(x))                         (primal: the accepted mass)

The objective can have many local minima, so the search is exhaustive: a histogram of r gives the
objective at every bin boundary and a lower bound inside every bin, and exactly the bins whose bound
is below the best boundary are sorted. Both sides of the certificate are then summed afresh over
the vocabulary; the primal is achievable by Border's condition, and is what `score_kernel_plan`
realises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import (
    MASS_TOLERANCE,
    check_pmf,
    check_same_vocabulary,
    shared_batch,
)
from spectheory.errors import InputError

BINS = {0: 256, 8_000: 4096}
"""Bins of the histogram from that vocabulary size on; more bins leave fewer tokens to sort."""


@dataclass(frozen=True)
class IidOptimum:
    """Optimal acceptance of k i.i.d. drafts with its certificate; every field is ``(...)``.

    Attributes:
        value: alpha*, the dual.
        primal: ``sum_x min(p, c q)``, the accepted mass of the optimal rule.
        dual: ``1 + p(H) - q(H)^k`` for the witness H.
        cap: c, the most that a token's accepted mass exceeds its draft mass by, as a factor; <= k.
        floor: ``u0 = (1 - alpha*)^(1/k)``, the score below which no draft is accepted.
        witness: threshold t of H = {x : q(x) > 0 and p(x)/q(x) <= t}, the ratio as float64 divides;
            -1 for the empty set. With ties or several minimisers, one of them.
    """

    value: Array
    primal: Array
    dual: Array
    cap: Array
    floor: Array
    witness: Array

    @property
    def gap(self) -> Array:
        """``dual - primal``: 0 but for rounding, which can give it either sign.

        It checks the sums; the cap follows from H, so that H is the best one is not seen in it.
        """
        return self.dual - self.primal

    def witness_set(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` mask of the minimising subset H."""
        target, draft = np.asarray(target, np.float64), np.asarray(draft, np.float64)
        proposed = draft > 0
        ratio = np.where(proposed, target, 1.0) / np.where(proposed, draft, 1.0)
        return proposed & (ratio <= np.asarray(self.witness)[..., None])


def iid_optimum(target: Array, draft: Array, k: int) -> IidOptimum:
    """Certified optimal acceptance of k i.i.d. drafts.

    Laws are normalised to sum exactly 1 (they may be off by `MASS_TOLERANCE`).

    Args:
        target: ``(..., V)`` float64 or float32, computed in float64.
        draft: ``(..., V)``; batch axes broadcast.
        k: number of drafts, any integer >= 1.

    Raises:
        DistributionError, ShapeError, VocabularyMismatch: bad laws.
        InputError: k is no positive integer, or the laws are exact (``Fraction``): use
            `optimal_value`, which stays exact.

    Reference: hu2025towards, Theorem 4 (dual and prefix form).

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> optimum = iid_optimum(p, q, 2)
    >>> float(optimum.value), float(optimum.cap), float(optimum.floor)
    (0.89, 1.9, 0.3316624790)
    >>> optimum.witness_set(p, q).tolist()
    [True, True, False]
    """
    from spectheory.kernels.iid_value import optimum_rows
    from spectheory.kernels.ratio_histogram import layout

    targets, drafts, shape = rows_of(target, draft, k)
    found = np.empty((targets.shape[0], 5))
    bins = max(count for size, count in BINS.items() if targets.shape[1] >= size)
    worst = optimum_rows(targets, drafts, int(k), *layout(int(k), bins), found)
    if worst < 0 or found[:, 4].max(initial=0.0) > 1e-9:
        check_pmf("target", target)  # the kernel saw something odd: name it
        check_pmf("draft", draft)
    primal, loss, cap, witness = (found[:, i].reshape(shape) for i in range(4))
    dual = 1 - loss
    floor = np.maximum(loss, 0.0) ** (1 / k)
    return IidOptimum(dual, primal, dual, cap, floor, witness)


def rows_of(target: Array, draft: Array, k: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """``(rows, V)`` contiguous float64 views of a pair, and its batch shape.

    Checks what needs no pass over the vocabulary; `check_pmf` is left to the caller.
    """
    check_same_vocabulary(target, draft)
    for name, law in (("target", target), ("draft", draft)):
        if is_exact(law):
            raise InputError(
                f"`{name}` holds Fraction; `optimal_value` computes exactly, this in float64"
            )
        dtype = str(law.dtype).rpartition(".")[2]
        if law.ndim < 1 or law.shape[-1] == 0 or dtype not in MASS_TOLERANCE:
            check_pmf(name, law)  # refuses it, with the reason
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"`k` is {k!r}; expected an integer >= 1")
    shape = shared_batch(target=tuple(target.shape[:-1]), draft=tuple(draft.shape[:-1]))
    size = target.shape[-1]
    targets, drafts = (
        np.ascontiguousarray(
            np.broadcast_to(np.asarray(law, dtype=np.float64), (*shape, size))
        ).reshape(-1, size)
        for law in (target, draft)
    )
    return targets, drafts, shape
