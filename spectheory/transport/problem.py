"""The transport problem of one position: which drafts can be turned into which outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import check_pmf
from spectheory.drafting.scheme import DraftLaw
from spectheory.errors import DistributionError, ImpossibleDraft, ShapeError, TooLarge

NO_TOKEN = -1


@dataclass(frozen=True)
class TransportProblem:
    """Carry the law of the draft set S to the target, with as much mass as possible staying in S.

    ``max sum y(S, x)`` over ``y >= 0`` on the pairs x in S, with ``sum_x y(S, x) <= P(S)`` and
    ``sum_S y(S, x) <= p(x)``. What a rule may accept depends on the drafts as a set only, so tuples
    with the same set are merged.

    Attributes:
        target: ``(V,)`` float64, or object array of ``Fraction``.
        sets: ``(m, k)`` ascending distinct tokens of each set, filled up with `NO_TOKEN`.
        mass: ``(m,)`` probability of each set, in the arithmetic of the law.

    Raises:
        DistributionError: target or law is no probability law, or one is exact and one is not.
        ImpossibleDraft: the law proposes tokens outside the vocabulary.

    Reference: sun2023spectr, section 3 (optimal transport with membership cost).

    >>> from spectheory.drafting.scheme import scheme
    >>> law = scheme("iid").law(np.array([0.5, 0.5]), 2)
    >>> problem = TransportProblem.of(np.array([0.25, 0.75]), law)
    >>> problem.sets.tolist(), problem.mass.tolist()
    ([[0, -1], [0, 1], [1, -1]], [0.25, 0.5, 0.25])
    >>> float(problem.bound(np.array([True, False])))
    1.0
    """

    target: Array
    sets: np.ndarray
    mass: Array

    @classmethod
    def of(cls, target: Array, law: DraftLaw | tuple[Array, Array]) -> TransportProblem:
        """The problem for any draft law given as ``(n, k)`` tuples and ``(n,)`` probabilities."""
        tuples, probability = np.asarray(law[0]), np.asarray(law[1])
        target = np.asarray(target)
        if target.ndim != 1 or tuples.ndim != 2 or probability.shape != tuples.shape[:1]:
            raise ShapeError(
                f"`target` has shape {target.shape}, the tuples {tuples.shape} and their "
                f"probabilities {probability.shape}; expected (V,), (n, k) and (n,): one position"
            )
        check_pmf("target", target)
        check_pmf("law", probability)
        if is_exact(target) != is_exact(probability):
            raise DistributionError(
                "one of `target` and `law` holds Fractions and the other floats; "
                "make both exact or both float"
            )
        if tuples.min() < 0 or tuples.max() >= target.shape[0]:
            raise ImpossibleDraft(
                f"the law proposes tokens {tuples.min()} to {tuples.max()}; `target` is over "
                f"tokens 0 to {target.shape[0] - 1}"
            )
        sets, group = np.unique(canonical_sets(tuples), axis=0, return_inverse=True)
        mass = np.zeros(len(sets), dtype=probability.dtype)
        np.add.at(mass, group.reshape(-1), probability)
        if not is_exact(target):
            mass, target = mass.astype(np.float64), target.astype(np.float64)
            mass, target = mass / mass.sum(), target / target.sum()
        return cls(target, sets, mass)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """``(e,), (e,)``: set index and token of every allowed pair."""
        index, slot = np.nonzero(self.sets != NO_TOKEN)
        return index, self.sets[index, slot]

    def bound(self, subset: np.ndarray) -> Array:
        """Upper bound ``1 + p(H) - Q(H)`` of the subset with ``(V,)`` mask ``subset``."""
        inside = np.all((self.sets == NO_TOKEN) | subset[self.sets], axis=-1)
        return 1 + np.sum(self.target * subset) - np.sum(self.mass * inside)

    def best_subset(self, score: np.ndarray) -> np.ndarray:
        """The ``(V,)`` mask with the least `bound` among the upper level sets of ``score``.

        A dual optimum is a mixture of optimal subsets, its upper level sets; taking the best of
        them undoes the rounding of a numerical solver.
        """
        empty, score = np.zeros(score.shape[0], dtype=bool), np.round(score, 6)
        masks = [empty, *(score >= level for level in np.unique(score) if level > 0)]
        return min(masks, key=self.bound)

    def refuse_above(self, limit: int, solver: str, instead: str) -> None:
        """Refuse to build a program with more than ``limit`` (set, token) pairs.

        Raises:
            TooLarge: naming the count and the solver to use instead.
        """
        count = int(np.count_nonzero(self.sets != NO_TOKEN))
        if count > limit:
            raise TooLarge(
                f"{len(self.sets):,} draft sets give {count:,} (set, token) pairs, above the limit "
                f"of {limit:,} of the {solver} solver; use {instead}"
            )


def canonical_sets(tuples: np.ndarray) -> np.ndarray:
    """``(..., k)`` tuples as int64 sets: ascending, each token once, `NO_TOKEN` at the end.

    Raises:
        ImpossibleDraft: tokens that are no integers.

    >>> canonical_sets(np.array([[2, 0, 2]])).tolist()
    [[0, 2, -1]]
    """
    if tuples.dtype.kind not in "iu":
        raise ImpossibleDraft(f"drafts have dtype {tuples.dtype}; expected integer tokens")
    ranked = np.sort(tuples.astype(np.int64), axis=-1)
    repeated = np.zeros(ranked.shape, dtype=bool)
    repeated[..., 1:] = ranked[..., 1:] == ranked[..., :-1]
    last = np.iinfo(ranked.dtype).max
    ranked = np.sort(np.where(repeated, last, ranked), axis=-1)
    return np.where(ranked == last, NO_TOKEN, ranked)
