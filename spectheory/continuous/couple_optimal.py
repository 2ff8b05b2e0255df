"""The optimal coupling of k i.i.d. drafts: each draws a score, the highest wins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from spectheory.continuous.coupling import (
    Coupled,
    DraftedCoupling,
    log_ratios,
    needs_ratio_law,
    replaced,
)
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.ratio_law import RatioLaw

LEVELS = 2_048
"""Levels of the ratio that get pieces of the score axis."""

_LOWEST = -18.0
"""Log of the lowest level above 0: below it lies target mass of at most e^-18, all accepted."""


_APART = 1e-3
"""Least distance of levels, as logarithms: masses of closer ones would lose their digits."""


@dataclass(frozen=True)
class OptimalCoupling(DraftedCoupling):
    """Attains ``alpha*_k``, the most that any lossless rule for k i.i.d. drafts accepts.

    Only the law of r = p/q under the draft enters. A draft draws a score from a law that depends on
    its ratio and under which scores of draws of q are uniform; the highest score wins and is
    accepted if it is above ``(1 - alpha)^(1/k)``. For levels e_0 < e_1 < ... of the ratio these
    laws are those of `spectheory.kernels.score_kernel`; between two levels a draft takes the law of
    one or the other with the probability that keeps its ratio on average. The accepted mass is then
    ``p`` itself up to a cap, and ``c q`` above it; splitting costs acceptance of second order in
    the distance of levels, and no losslessness. The residual is drawn from p by rejection.

    Losslessness rests on the masses of the levels, which come from the law of the ratio and are
    right to about 1e-12.

    Args:
        levels: of the ratio, at least 16.

    Reference: spectheory2026optimal, section 6.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian(1.0), Gaussian(0.0))
    >>> round(OptimalCoupling().acceptance(pair, 4), 5)  # alpha* is 0.924197
    0.9242
    """

    key: ClassVar[str] = "optimal"
    reference: ClassVar[str] = "spectheory2026optimal"
    most_drafts: ClassVar[int | None] = None

    levels: int = LEVELS

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        return needs_ratio_law(pair)

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        n, k, _ = drafts.shape
        plan = score_plan(ratio_law(pair), k, self.levels)
        scores, group = plan.scores(log_ratios(pair, drafts), rng)
        best = scores.argmax(axis=1)
        rows = np.arange(n)
        wins = scores[rows, best] > plan.floor[group[rows, best]]
        slot = np.where(wins, best, k)
        return replaced(pair, drafts, slot, plan.log_kept, rng)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return score_plan(ratio_law(pair), k, self.levels).acceptance


@dataclass(frozen=True)
class ScorePlan:
    """Score laws of ascending levels of the ratio; made by `score_plan`.

    Attributes:
        edges: ``(m,)`` levels, the first 0 and the last k.
        group: ``(m,)`` group of each level.
        mean: ``(groups,)`` accepted mass per draft mass.
        floor: ``(groups,)`` score above which a draft is accepted.
        acceptance: P(a draft is accepted).
    """

    edges: np.ndarray
    group: np.ndarray
    mean: np.ndarray
    floor: np.ndarray
    acceptance: float
    pieces: tuple[np.ndarray, ...] = field(repr=False)

    def split(self, log_r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Level below each log ratio, and the probability of taking the next one's law."""
        ratios = np.exp(np.minimum(log_r, math.log(self.edges[-1])))
        below = np.searchsorted(self.edges, ratios, side="right") - 1
        below = np.minimum(below, len(self.edges) - 2)
        width = self.edges[below + 1] - self.edges[below]
        return below, np.clip((ratios - self.edges[below]) / width, 0.0, 1.0)

    def scores(self, log_r: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A score in [0, 1] for each log ratio, and the group whose floor it is held against."""
        below, share = self.split(log_r)
        group = self.group[below + (rng.random(log_r.shape) < share)]
        start, low, before, length = self.pieces
        # Pieces stand group after group, so one search over running lengths finds them all.
        base = np.concatenate([[0.0], length.cumsum()])
        running = base[np.repeat(np.arange(len(length)), np.diff(start))] + before
        along = rng.random(log_r.shape) * length[group]
        piece = np.searchsorted(running, base[group] + along, side="right") - 1
        piece = np.clip(piece, start[group], np.maximum(start[group + 1] - 1, start[group]))
        return low[piece] + np.maximum(along - before[piece], 0.0), group

    def log_kept(self, log_r: np.ndarray) -> np.ndarray:
        """``log(p / m)`` at each log ratio."""
        below, share = self.split(log_r)
        accepted = (1 - share) * self.mean[self.group[below]]
        accepted += share * self.mean[self.group[below + 1]]
        # Where nothing is accepted all target mass is to be kept; at r = 0 there is none.
        kept = np.where(log_r > -np.inf, np.inf, 0.0)
        some = accepted > 0
        kept[some] = log_r[some] - np.log(accepted[some])
        return kept


@lru_cache(maxsize=64)
def score_plan(law: RatioLaw, k: int, levels: int = LEVELS) -> ScorePlan:
    """The plan for k drafts over levels of the ratio, a geometric series and the ratio's atoms.

    >>> from spectheory.continuous.gaussian_ratio import GaussianShift
    >>> plan = score_plan(GaussianShift(2.0), 8)
    >>> round(plan.acceptance, 5)  # alpha* is 0.667341
    0.66734
    """
    from spectheory.kernels.score_levels import plan_levels

    logs = np.linspace(_LOWEST, math.log(k), levels)
    atoms = law.atoms()
    atoms = atoms[(atoms > _LOWEST + _APART) & (atoms < math.log(k) - _APART)]
    if len(atoms):  # they get levels of their own
        apart = np.abs(logs[:, None] - atoms).min(axis=1) > _APART
        logs = np.sort(np.concatenate([logs[apart], atoms]))
    edges = np.concatenate([[0.0], np.exp(logs)])
    edges[-1] = k
    # Each draft mass is split between the two levels around its ratio; the mean of the hat
    # functions of r is the second difference of C.
    slope = np.diff(np.concatenate([[0.0], law.capped(edges[1:])])) / np.diff(edges)
    mass = np.maximum(-np.diff(np.concatenate([[1.0], slope, [0.0]])), 0.0)
    mass /= mass.sum()
    group, mean, (start, low, _, before, length, floor) = plan_levels(mass, edges, k)
    return ScorePlan(
        edges=edges,
        group=group,
        mean=mean,
        floor=floor,
        acceptance=float(length @ mean),
        pieces=(start, low, before, length),
    )
