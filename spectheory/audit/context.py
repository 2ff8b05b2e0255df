"""One position under audit, with the scores that are fixed before any draw is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectheory.distributions import check_pair, check_pmf, descending, overlap
from spectheory.errors import InputError, ShapeError

RATIO_CLIP = 3.0
"""Nats at which log(q / p) is cut off, so that no rare token can carry the test."""

LOG_CLIP = 10.0
"""Nats from its mean at which log p is cut off: tail tokens still count, and the score is bounded.
"""

RANK_BINS = 64


class Direction(NamedTuple):
    """A bias fixed beforehand, and the bounded score that sees it.

    Attributes:
        score: ``(V,)`` in [-1, 1], mean 0 under the target.
        shift: by how much a unit step along the bias moves the mean of the score.
        variation: total variation of a unit step along the bias.
    """

    score: np.ndarray
    shift: float
    variation: float


@dataclass(frozen=True, eq=False)
class Context:
    """A target law, with the draft law and the acceptance that the sampler is said to have.

    Attributes:
        target: ``(V,)`` float64, sums to 1 to rounding.
        draft: ``(V,)`` or None.
        acceptance: probability that a draft is accepted, or None where it is not under test.
        draft_ratio: score ``clip(log q/p)``; the bias is ``p + e (q - p)``. None without a draft.
        log_probability: score ``clip(log p)``; the bias is ``p (1 + e score)``, which is a change
            of temperature to first order.
        ranked: ``(V,)`` tokens by descending target probability.
        start: ``(V,)`` by token, target mass ranked above it.

    >>> context = Context.of(np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]))
    >>> round(context.acceptance, 6), context.draft_ratio.score.round(3).tolist()
    (0.7, [-0.538, 0.231, 1.0])
    """

    target: np.ndarray
    draft: np.ndarray | None
    acceptance: float | None
    draft_ratio: Direction | None
    log_probability: Direction
    ranked: np.ndarray
    start: np.ndarray

    @classmethod
    def of(
        cls,
        target: np.ndarray,
        draft: np.ndarray | None = None,
        acceptance: float | None = None,
    ) -> Context:
        """The context of one position.

        Args:
            target: ``(V,)`` float64 or float32 law.
            draft: ``(V,)`` law that the sampler drafts from, if it drafts.
            acceptance: exact probability that a draft is accepted; with a draft,
                ``1 - TV(target, draft)`` if not given, which is that of rejection sampling.

        Raises:
            DistributionError, ShapeError, VocabularyMismatch: no laws, or not over one vocabulary.
            InputError: ``acceptance`` outside [0, 1].
        """
        if target.ndim != 1:
            raise ShapeError(f"`target` has shape {target.shape}; expected one position, (V,)")
        if draft is None:
            check_pmf("target", target)
        elif draft.ndim != 1:
            raise ShapeError(f"`draft` has shape {draft.shape}; expected one position, (V,)")
        else:
            check_pair(target, draft)
        p = _unit(target)
        q = None if draft is None else _unit(draft)
        if acceptance is None and q is not None:
            acceptance = min(1.0, float(overlap(p, q)))  # rounding can exceed 1
        if acceptance is not None and not 0 <= acceptance <= 1:
            raise InputError(f"`acceptance` is {acceptance}; expected a probability")
        possible = p > 0
        logs = np.log(np.where(possible, p, 1.0))
        spread = np.clip(logs - mean(logs, p), -LOG_CLIP, LOG_CLIP)
        flat = bounded(spread, p)
        tilt = Direction(flat, mean(flat**2, p), 0.5 * mean(np.abs(flat), p))
        lean = None
        if q is not None:
            drafted = np.log(np.where(q > 0, q, 1.0))
            ratio = np.where(q > 0, np.clip(drafted - logs, -RATIO_CLIP, RATIO_CLIP), -RATIO_CLIP)
            score = bounded(ratio, p)
            lean = Direction(score, mean(score, q - p), 0.5 * float(np.abs(q - p).sum()))
        ranked = descending(p)
        start = np.empty_like(p)
        start[ranked] = np.cumsum(p[ranked]) - p[ranked]
        return cls(p, q, acceptance, lean, tilt, ranked, start)


def bounded(score: np.ndarray, law: np.ndarray) -> np.ndarray:
    """``score`` with its mean under ``law`` taken off, divided by its bound over the support.

    0 on tokens of mass 0, and everywhere if the score does not vary beyond rounding.

    >>> bounded(np.array([1.0, 2.0, 5.0]), np.array([0.5, 0.5, 0.0])).tolist()
    [-1.0, 1.0, 0.0]
    """
    possible = law > 0
    centred = np.where(possible, score, 0.0)
    size = float(np.abs(centred).max())
    for _ in range(2):  # the second time takes off the rounding of the first
        centred = np.where(possible, centred - mean(centred, law), 0.0)
    bound = float(np.abs(centred).max())
    if bound <= 1e-9 * size:
        return np.zeros_like(centred)
    return centred / bound


def mean(values: np.ndarray, law: np.ndarray) -> float:
    """``sum_x law(x) values(x)``; not by BLAS, whose rounding depends on its threads."""
    return float((law * values).sum())


def _unit(law: np.ndarray) -> np.ndarray:
    values = law.astype(np.float64)
    unit: np.ndarray = values / values.sum()
    return unit
