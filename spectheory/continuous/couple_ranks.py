"""List coupling by rank: one order statistic of the drafts, maximally coupled to the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.optimize import linprog
from scipy.special import betainc, betaln, xlog1py, xlogy

from spectheory.continuous.couple_reflection import needs_one_covariance, standard_shift
from spectheory.continuous.coupling import Coupled, Coupling, DraftedCoupling, replaced
from spectheory.continuous.density import LineDensity
from spectheory.continuous.mixture import on_line
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import normal
from spectheory.errors import InputError

_ROUNDS = 3
"""Linear programs for the best weights. More gain less than 2e-6 of acceptance."""


@dataclass(frozen=True)
class RankCoupling(DraftedCoupling):
    """Pick a rank with fixed weights, take the draft of that rank, couple it maximally to p.

    Drafts are ranked along the line (along the mean shift for Gaussians with one covariance). The
    pick has density ``q(x) f(U)`` with ``U = Q(X <= x)`` and f the mixture of the ranks' Beta
    densities, so it is accepted with ``min(1, r / f(U))``; the residual is ``(p - q f)_+``.
    Lossless for any weights, and never above the optimum. `acceptance` is a sum of exact masses
    over 20,000 cells, cut where p crosses the pick's density.

    Args:
        weights: of the ranks, lowest first, with sum 1; None takes the best ones, by linear
            programming on 400 cells, which loses less than 2e-6 of acceptance.

    Raises:
        InputError: weights that are no law over k ranks.

    Reference: rowan2025list.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian(1.0), Gaussian(0.0))
    >>> RankCoupling(weights=(0.0, 1.0)).acceptance(pair, 2)
    0.790274
    """

    key: ClassVar[str] = "ranks"
    reference: ClassVar[str] = "rowan2025list"
    most_drafts: ClassVar[int | None] = None

    weights: tuple[float, ...] | None = None

    @classmethod
    def examples(cls) -> Iterator[Coupling]:
        yield cls()

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        if on_line(pair.target) and on_line(pair.draft):
            return ""
        return needs_one_covariance(pair) and (
            "it ranks drafts on the line, or along the shift of Gaussians with one covariance"
        )

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        n, k, dimension = drafts.shape
        weights = self._weights(pair, k)
        rank = rng.choice(k, size=n, p=weights)
        along = _ranks(pair, drafts.reshape(-1, dimension)).reshape(n, k)
        picked = np.argsort(along, axis=1)[np.arange(n), rank]
        at = drafts[np.arange(n), picked]

        def log_excess(points: np.ndarray) -> np.ndarray:
            log_r = pair.log_ratio(points)
            with np.errstate(divide="ignore"):
                return log_r - np.log(_rank_density(_ranks(pair, points), weights))

        taken = rng.random(n) < np.exp(np.minimum(log_excess(at), 0.0))
        slot = np.where(taken, picked, k)
        return replaced(pair, drafts, slot, log_excess, rng, of_points=True)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        weights = self._weights(pair, k)
        edges = _cut(pair, _cells(pair, 20_000), weights)
        p, picks = _masses(pair, edges, k)
        return float(np.minimum(p, picks @ weights).sum())

    def _weights(self, pair: ContinuousPair, k: int) -> np.ndarray:
        if self.weights is None:
            return _best_weights(pair, k)
        weights = np.asarray(self.weights, dtype=np.float64)
        if weights.shape != (k,) or not ((weights >= 0).all() and abs(weights.sum() - 1) <= 1e-9):
            raise InputError(f"`weights` is {self.weights}; expected a law over {k} ranks")
        return weights / weights.sum()


def _line(pair: ContinuousPair) -> tuple[LineDensity, LineDensity]:
    """The pair along its line, target first."""
    target, draft = on_line(pair.target), on_line(pair.draft)
    if target is None or draft is None:
        distance = float(np.linalg.norm(standard_shift(pair)[2]))
        return normal(distance, 1.0), normal(0.0, 1.0)
    return target, draft


def _ranks(pair: ContinuousPair, points: np.ndarray) -> np.ndarray:
    """``(n,)`` probability that a draft lies before each point."""
    _, draft = _line(pair)
    if on_line(pair.target) is None:
        _, own, shift = standard_shift(pair)
        length = float(np.linalg.norm(shift))
        # Any line will do for two laws that are one.
        along = shift / length if length else np.eye(len(shift))[0]
        return draft.cdf(own.standardised(points) @ along)
    return draft.cdf(points[:, 0])


def _rank_density(u: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _order_statistics(u, len(weights)) @ weights


def _order_statistics(u: np.ndarray, k: int) -> np.ndarray:
    """``(n, k)`` densities of the order statistics of k uniform numbers."""
    j, u = np.arange(k), u[:, None]
    return np.asarray(np.exp(xlogy(j, u) + xlog1py(k - 1 - j, -u) - betaln(j + 1, k - j)))


def _cells(pair: ContinuousPair, cells: int) -> np.ndarray:
    """Ascending edges of cells that cover the line and have about equal masses under both laws."""
    laws = _line(pair)
    marks = np.unique(
        np.concatenate([part for law in laws for part in (law.landmarks(), law.knots())])
    )
    mean = 0.5 * sum(law.cdf(marks) for law in laws)
    return np.unique(np.concatenate([marks, np.interp(np.linspace(0, 1, cells), mean, marks)]))


def _cut(pair: ContinuousPair, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The edges, and the points between two of them where p goes above or below the pick."""
    target, draft = _line(pair)
    line = ContinuousPair(target, draft)

    def above(x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # neither has mass there
            pick = np.log(_rank_density(draft.cdf(x), weights))
            return np.asarray(line.log_ratio(x) > pick)

    start = above(edges)
    cut = np.flatnonzero(start[1:] != start[:-1])
    low, high, start = edges[cut], edges[cut + 1], start[cut]
    for _ in range(60):
        middle = 0.5 * (low + high)
        left = above(middle) == start
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.unique(np.concatenate([edges, low]))


def _masses(pair: ContinuousPair, edges: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """``(cells,)`` target mass of each cell, and ``(cells, k)`` that of each rank of k drafts."""
    target, draft = _line(pair)
    j = np.arange(k)
    ranks = betainc(j + 1, k - j, draft.cdf(edges)[:, None])
    return np.maximum(np.diff(target.cdf(edges)), 0.0), np.maximum(np.diff(ranks, axis=0), 0.0)


@lru_cache(maxsize=64)
def _best_weights(pair: ContinuousPair, k: int) -> np.ndarray:
    """Weights of most acceptance, on cells that are cut where p crosses the last round's pick."""
    edges, weights = _cells(pair, 400), np.full(k, 1 / k)
    for _ in range(_ROUNDS):
        edges = _cut(pair, edges, weights)
        weights = _weights_on(*_masses(pair, edges, k))
    return weights


def _weights_on(p: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Maximise ``sum_i min(p_i, sum_j w_j q_ij)`` over the weights."""
    size, k = ranks.shape
    found = linprog(
        np.concatenate([np.zeros(k), -np.ones(size)]),
        A_ub=np.concatenate([-ranks, np.eye(size)], axis=1),
        b_ub=np.zeros(size),
        A_eq=np.concatenate([np.ones(k), np.zeros(size)])[None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(0, mass) for mass in p],
    )
    weights = np.maximum(found.x[:k], 0.0)
    return np.asarray(weights / weights.sum())
