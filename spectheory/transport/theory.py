"""Statements about the optimum that can be called: curves, perfection, worst ratios, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import from_logits
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.errors import InputError
from spectheory.transport.optimal_acceptance import optimal_acceptance
from spectheory.transport.subset_dual import optimal_value

PERFECT = 1e-12
"""How far below 1 a float64 acceptance may stand and still count as perfect."""


class WorstCase(NamedTuple):
    """The worst instance that a search found: an upper bound on the true worst ratio.

    Attributes:
        ratio: acceptance of the rule over the optimum.
        target, draft: ``(V,)`` the instance.
        acceptance, optimum: numerator and denominator.
        evaluated: how many instances were looked at.
    """

    ratio: float
    target: np.ndarray
    draft: np.ndarray
    acceptance: float
    optimum: float
    evaluated: int


def acceptance_curve(
    target: Array, draft: Array, ks: Sequence[int], scheme: str = "iid"
) -> np.ndarray:
    """Optimal acceptance for several numbers of drafts.

    Args:
        target: ``(..., V)``.
        draft: ``(..., V)``, or ``(..., K, V)`` for heterogeneous drafts, of which k are the first k
            slots.
        ks: the numbers of drafts.
        scheme: key of the draft scheme.

    Returns:
        ``(len(ks), ...)``: non-decreasing in k for every scheme of this library.

    Reference: khisti2025multi, Figure 2 (one point of such curves).

    >>> p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    >>> acceptance_curve(p, q, [1, 2, 3]).tolist()
    [0.5, 0.75, 0.875]
    """
    if draft_scheme(scheme).per_slot:
        values = [optimal_acceptance(target, draft[..., :k, :], k, scheme).value for k in ks]
    else:
        values = [optimal_value(target, draft, k, scheme) for k in ks]
    return np.stack([np.asarray(value) for value in values])


def is_perfect(target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
    """Whether some lossless rule accepts with probability 1.

    It does if and only if ``p(H) >= Q(H)`` for every subset H of the vocabulary: no set of tokens
    is proposed alone more often than the target wants it.

    Args:
        target: ``(..., V)``.
        draft: ``(..., V)``, or ``(..., k, V)`` for heterogeneous drafts.
        k: number of drafts.
        scheme: key of the draft scheme.

    Returns:
        ``(...)`` boolean: exact on Fractions, within `PERFECT` on floats.

    Reference: khisti2025multi, Theorem 3 for k = 2; Hall's condition in general.

    >>> q = np.array([1 / 3, 2 / 3])
    >>> bool(is_perfect(np.array([5 / 9, 4 / 9]), q, 2)), bool(is_perfect(1 - q, q, 1))
    (True, False)
    """
    if draft_scheme(scheme).per_slot:
        slack = 1 - optimal_acceptance(target, draft, k, scheme).value
    else:
        slack = 1 - optimal_value(target, draft, k, scheme)
    return slack <= (0 if is_exact(target) else PERFECT)


def ratio_bound(k: int) -> float:
    """``1 - (1 - 1/k)^k``, at least ``1 - 1/e``: K-SEQ accepts this share of the optimum.

    The form ``1 - 1/e`` is proved in the reference, the form in k in
    `proofs.k_seq_reaches_its_share`. `worst_ratio` finds nothing near it.

    Reference: sun2023spectr, Theorem 3.

    >>> [round(ratio_bound(k), 6) for k in (1, 2, 4)]
    [1.0, 0.75, 0.683594]
    """
    if k < 1:
        raise InputError(f"`k` is {k}; expected an integer >= 1")
    return 1 - (1 - 1 / k) ** k


def worst_ratio(
    rates: Callable[..., object],
    k: int,
    vocab: int,
    seed: int,
    scheme: str = "iid",
    rounds: int = 200,
    population: int = 64,
) -> WorstCase:
    """Search for the instance where a rule falls furthest behind the optimum.

    Differential evolution over pairs of laws (softmax of bounded logits), then a simplex search
    from the best pair. What it returns is an instance, so an upper bound on the worst ratio; that
    no worse one exists is not proved by it.

    Args:
        rates: ``rates(target, draft, k)`` gives the rule's acceptance on ``(n, V)`` laws, or an
            object with an ``acceptance`` attribute; a rule passes its ``rates`` method.
        k: number of drafts.
        vocab: vocabulary of the instances, at least 2.
        seed: of the search; the same seed gives the same instance.
        scheme: key of the draft scheme, one with a single draft law.
        rounds: generations.
        population: instances a generation.

    Raises:
        InputError: a vocabulary below 2, or a scheme with one law a slot.

    Reference: storn1997differential (the search).

    >>> from spectheory.distributions import overlap
    >>> found = worst_ratio(lambda p, q, k: overlap(p, q), k=2, vocab=2, seed=0, rounds=60)
    >>> round(found.ratio, 4)  # one draft in place of two
    0.5
    """
    from scipy.optimize import minimize

    if vocab < 2 or draft_scheme(scheme).per_slot:
        raise InputError(
            f"`vocab` is {vocab} and `scheme` {scheme!r}; expected at least 2 tokens and a scheme "
            "with one draft law"
        )
    evaluated = 0

    def ratios(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal evaluated
        evaluated += len(points)
        target, draft = _laws(points)
        found = rates(target, draft, k)
        accepted = np.asarray(getattr(found, "acceptance", found))
        return accepted / optimal_value(target, draft, k, scheme), accepted

    generator = np.random.default_rng(seed)
    points = generator.normal(scale=2.0, size=(population, 2 * vocab))
    scores, _ = ratios(points)
    for _ in range(rounds):
        a, b, c = (points[generator.permutation(population)] for _ in range(3))
        trial = np.clip(a + generator.uniform(0.4, 0.9) * (b - c), -12, 12)
        crossed = generator.uniform(size=points.shape) < 0.8
        trial = np.where(crossed, trial, points)
        trial_scores, _ = ratios(trial)
        better = trial_scores <= scores
        points = np.where(better[:, None], trial, points)
        scores = np.where(better, trial_scores, scores)
    best = points[np.argmin(scores)]
    polished = minimize(
        lambda x: float(ratios(x[None, :])[0][0]),
        best,
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 400 * vocab, "adaptive": True},
    )
    if polished.fun < scores.min():
        best = polished.x
    target, draft = _laws(best[None, :])
    score, accepted = ratios(best[None, :])
    return WorstCase(
        float(score[0]),
        target[0],
        draft[0],
        float(accepted[0]),
        float(accepted[0] / score[0]),
        evaluated,
    )


def check_ratio_bound(
    rates: Callable[..., object], k: int, vocab: int, seed: int, **search: int
) -> tuple[WorstCase, bool]:
    """The worst instance found for a rule on i.i.d. drafts, and whether it respects `ratio_bound`.

    A numerical check: True means that the search found no counterexample.

    >>> from spectheory.transport.subset_dual import optimal_value
    >>> check_ratio_bound(optimal_value, k=2, vocab=2, seed=0, rounds=5)[1]
    True
    """
    found = worst_ratio(rates, k, vocab, seed, **search)  # type: ignore[arg-type]
    return found, found.ratio >= ratio_bound(k) - PERFECT


def _laws(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Softmax of the two halves of each row."""
    target, draft = np.split(points, 2, axis=-1)
    return from_logits(target), from_logits(draft)
