"""Poisson functional representation: one list of points, from which each side picks its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.coupling import Coupled, Coupling
from spectheory.continuous.gaussian_ratio import GaussianShift
from spectheory.continuous.line_ratio import LineRatio
from spectheory.continuous.mixture import on_line
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import normal
from spectheory.errors import NoRatioLaw

_AT_ONCE = 8
"""Points drawn for a run at a time; on average about two are looked at."""


@dataclass(frozen=True)
class PoissonFunctionalCoupling(Coupling):
    """Each side takes the point of one Poisson process with the least ``T / density``.

    Points ``x_i ~ m = (p + q) / 2`` arrive at times ``T_1 < T_2 < ...`` of rate 1; the draft is the
    point of least ``T_i m / q``, the output that of least ``T_i m / p``. Neither side needs the
    other's density to pick (any common m gives the same match), so the output does not depend on
    who drafted. Both scores are at least ``T_i / 2``, which ends the search. The match probability
    ``E_p 1 / (1 + r - C(r))`` lies between ``(1 - TV) / (1 + TV)`` and ``1 - TV``.

    Reference: maddison2016poisson; li2021unified.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> PoissonFunctionalCoupling().acceptance(ContinuousPair(Gaussian(1.0), Gaussian(0.0)))
    0.53868
    """

    key: ClassVar[str] = "poisson_functional"
    reference: ClassVar[str] = "li2021unified"

    def _draw(self, pair: ContinuousPair, n: int, rng: np.random.Generator, k: int) -> Coupled:
        best = np.full((2, n), np.inf)  # least score so far: output, draft
        points = np.empty((2, n, pair.dimension))
        index = np.full((2, n), -1)
        clock, count, open_ = np.zeros(n), 0, np.arange(n)
        while len(open_):
            rows = len(open_)
            times = clock[open_, None] + rng.exponential(size=(rows, _AT_ONCE)).cumsum(axis=1)
            clock[open_] = times[:, -1]
            fresh = self._mixture(pair, rows * _AT_ONCE, rng)
            log_r = pair.log_ratio(fresh).reshape(rows, _AT_ONCE)
            fresh = fresh.reshape(rows, _AT_ONCE, -1)
            # log m/p = log (1 + 1/r) / 2 and log m/q = log (1 + r) / 2
            for side, log_weight in enumerate((-log_r, log_r)):
                log_scores = np.log(times) + np.logaddexp(0.0, log_weight) - np.log(2)
                first = log_scores.argmin(axis=1)
                score = np.exp(np.minimum(log_scores[np.arange(rows), first], 700.0))
                better = score < best[side, open_]
                at = open_[better]
                best[side, at] = score[better]
                points[side, at] = fresh[better, first[better]]
                index[side, at] = count + first[better]
            count += _AT_ONCE
            open_ = open_[clock[open_] < 2 * best[:, open_].max(axis=0)]
        slot = np.where(index[0] == index[1], 0, 1)
        return Coupled(points[0], slot, np.zeros(n, dtype=np.int64), points[1][:, None])

    @staticmethod
    def _mixture(pair: ContinuousPair, n: int, rng: np.random.Generator) -> np.ndarray:
        from_target = rng.random(n) < 0.5
        points = np.empty((n, pair.dimension))
        points[from_target] = pair.target.sample(int(from_target.sum()), rng)
        points[~from_target] = pair.draft.sample(n - int(from_target.sum()), rng)
        return points

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        law = ratio_law(pair)
        target, draft = on_line(pair.target), on_line(pair.draft)
        if target is not None and draft is not None:
            law = LineRatio(target, draft)
        elif isinstance(law, GaussianShift):  # one-dimensional along the shift
            law = LineRatio(normal(law.distance, 1.0), normal(0.0, 1.0))
        if not isinstance(law, LineRatio):
            raise NoRatioLaw(
                "the match probability is computed on the line, and for Gaussians with one "
                "covariance; this pair is neither"
            )
        line = law

        def match(log_r: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(np.minimum(log_r, 700.0)) - np.exp(line.log_capped(log_r)))

        return line.target_mean(match)
