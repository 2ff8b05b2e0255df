"""List coupling by rank: one order statistic of the drafts, maximally coupled to the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.optimize import linprog
from scipy.special import binom

from spectheory.continuous.couple_reflection import needs_one_covariance, standard_shift
from spectheory.continuous.coupling import Coupled, Coupling, DraftedCoupling, replaced
from spectheory.continuous.density import LineDensity
from spectheory.continuous.mixture import on_line
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import normal
from spectheory.errors import InputError


@dataclass(frozen=True)
class RankCoupling(DraftedCoupling):
    """Pick a rank with fixed weights, take the draft of that rank, couple it maximally to p.

    Drafts are ranked along the line (along the mean shift for Gaussians with one covariance). The
    pick has density ``q(x) f(U)`` with ``U = Q(X <= x)`` and f the mixture of the ranks' Beta
    densities, so it is accepted with ``min(1, r / f(U))``; the residual is ``(p - q f)_+``.
    Lossless for any weights, and never above the optimum. `acceptance` is a sum over 20,000 cells,
    right to 1e-6 with heavy tails and to 1e-8 without.

    Args:
        weights: of the ranks, lowest first, with sum 1; None takes the best ones, by linear
            programming on 400 quadrature nodes.

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
        nodes, p, q = _line_nodes(pair)
        density = _rank_density(nodes, self._weights(pair, k))
        return float(np.minimum(p, q * density).sum())

    def _weights(self, pair: ContinuousPair, k: int) -> np.ndarray:
        if self.weights is None:
            return _best_weights(pair, k)
        weights = np.asarray(self.weights, dtype=np.float64)
        if weights.shape != (k,) or (weights < 0).any() or abs(weights.sum() - 1) > 1e-9:
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
        return draft.cdf(own.standardised(points) @ shift / (np.linalg.norm(shift) or 1.0))
    return draft.cdf(points[:, 0])


def _rank_density(u: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _order_statistics(u, len(weights)) @ weights


def _order_statistics(u: np.ndarray, k: int) -> np.ndarray:
    """``(n, k)`` densities of the order statistics of k uniform numbers."""
    j = np.arange(k)
    return k * binom(k - 1, j) * u[:, None] ** j * (1 - u[:, None]) ** (k - 1 - j)


def _line_nodes(pair: ContinuousPair, nodes: int = 20_000) -> tuple[np.ndarray, ...]:
    """Ranks at the middle of short cells that cover the line, and both masses of the cells."""
    target, draft = _line(pair)
    marks = np.unique(np.concatenate([target.landmarks(), draft.landmarks()]))
    spread = np.interp(
        np.linspace(0, 1, nodes), 0.5 * (target.cdf(marks) + draft.cdf(marks)), marks
    )
    grid = np.unique(np.concatenate([marks, spread]))
    p, q = np.diff(target.cdf(grid)), np.diff(draft.cdf(grid))
    return draft.cdf(0.5 * (grid[1:] + grid[:-1])), p, q


@lru_cache(maxsize=64)
def _best_weights(pair: ContinuousPair, k: int) -> np.ndarray:
    """Weights of most acceptance: maximise ``sum_i min(p_i, q_i sum_j w_j f_j(u_i))``."""
    u, p, q = _line_nodes(pair, 400)
    ranks = _order_statistics(u, k)
    size = len(u)
    found = linprog(
        np.concatenate([np.zeros(k), -np.ones(size)]),
        A_ub=np.concatenate([-(q[:, None] * ranks), np.eye(size)], axis=1),
        b_ub=np.zeros(size),
        A_eq=np.concatenate([np.ones(k), np.zeros(size)])[None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(0, mass) for mass in p],
    )
    weights = np.maximum(found.x[:k], 0.0)
    return np.asarray(weights / weights.sum())
