"""Likelihood ratio of two densities on the line: where it crosses a level, found by bisection.

The line is cut into cells in which log r is monotone; in each of them ``min(p, c q)`` changes from
one side to the other at one point at most, and the distribution functions give the masses on both
sides. Integrals of smooth functions of p and q use Gauss-Legendre nodes in the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp

from spectheory.continuous.density import LineDensity
from spectheory.continuous.ratio_law import RatioLaw
from spectheory.errors import InputError

_SPLIT = 16
"""Cells between neighbouring landmarks."""

_OUTSIDE = 1e-9
"""Most mass that may lie beyond the landmarks, where nothing is known of the ratio."""

_BLOCK = 256
"""Caps worked on at once."""


class LineRatio(RatioLaw):
    """The ratio law of a pair on the line.

    >>> from spectheory.continuous.univariate import laplace
    >>> law = LineRatio(laplace(1.3, 0.8), laplace(0.0, 0.8))
    >>> round(float(law.capped(1.0)), 6)
    0.443747
    """

    method: ClassVar[str] = "level crossings of the ratio on the line"

    def __init__(self, target: LineDensity, draft: LineDensity) -> None:
        self.target, self.draft = target, draft
        edges = self._monotone_edges()
        self.left = np.concatenate([[-np.inf], edges])
        self.right = np.concatenate([edges, [np.inf]])
        # Values just inside the cells: densities may jump at an edge.
        first = np.nextafter(np.concatenate([edges[:1], edges]), np.inf)
        last = np.nextafter(np.concatenate([edges, edges[-1:]]), -np.inf)
        first[0], last[-1] = last[0], first[-1]
        self.first, self.last = self._log_ratio(first), self._log_ratio(last)
        flat = np.isclose(self.first, self.last, rtol=0, atol=1e-12)
        self.last[flat] = self.first[flat]  # one level, whatever rounding says
        self.target_mass = _between(target, self.left, self.right)
        self.draft_mass = _between(draft, self.left, self.right)
        for law in (target, draft):
            # Beyond the next number: between neighbouring ones there is nothing to know.
            outside = max(law.cdf(last[0]), law.sf(first[-1]))
            if outside > _OUTSIDE:
                raise InputError(
                    f"a {law.family} density has {outside:.3g} of its mass beyond {edges[0]:.3g} "
                    f"or {edges[-1]:.3g}, where float64 runs out; rescale the pair"
                )

    def _log_ratio(self, x: np.ndarray) -> np.ndarray:
        above, below = self.target.log_density(x), self.draft.log_density(x)
        outside = (above == -np.inf) & (below == -np.inf)
        return np.where(outside, 0.0, np.where(outside, 0.0, above) - np.where(outside, 0.0, below))

    def _monotone_edges(self) -> np.ndarray:
        """Landmarks and knots of both laws, split, and the extrema of log r between them."""
        marks = np.unique(
            np.concatenate(
                [
                    part
                    for law in (self.target, self.draft)
                    for part in (law.landmarks(), law.knots())
                ]
            )
        )
        share = np.arange(_SPLIT) / _SPLIT
        edges = (marks[:-1, None] + np.diff(marks)[:, None] * share).reshape(-1)
        edges = np.unique(np.append(edges, marks[-1]))
        values = self._log_ratio(edges)
        before, here, after = values[:-2], values[1:-1], values[2:]
        with np.errstate(invalid="ignore"):
            turn = np.flatnonzero(np.sign(here - before) * np.sign(after - here) < 0)
        low, high = edges[turn], edges[turn + 2]
        sign = np.sign(values[turn + 1] - values[turn])
        for _ in range(80):  # ternary search for the extremum
            one, two = low + (high - low) / 3, high - (high - low) / 3
            rising = sign * (self._log_ratio(two) - self._log_ratio(one)) > 0
            low, high = np.where(rising, one, low), np.where(rising, high, two)
        return np.unique(np.concatenate([edges, 0.5 * (low + high)]))

    # -- capped mass -------------------------------------------------------------------------

    def log_capped(self, log_cap: Any) -> np.ndarray:
        caps = np.asarray(log_cap, dtype=np.float64)
        flat = caps.reshape(-1)
        with np.errstate(divide="ignore"):
            logs = np.log(self._capped(flat))
        return np.minimum(logs, np.minimum(flat, 0.0)).reshape(caps.shape)

    def log_supremum(self) -> float:
        mass = self.target_mass + self.draft_mass
        # Beyond the outermost landmarks the ratio goes on as it does before them.
        rising = mass[-1] > 0 and self.last[-2] > self.first[-2] + 1e-12
        falling = mass[0] > 0 and self.first[1] > self.last[1] + 1e-12
        if rising or falling:
            return math.inf
        return float(np.maximum(self.first, self.last)[mass > 0].max())

    def atoms(self) -> np.ndarray:
        flat = (self.first == self.last) & np.isfinite(self.first)
        levels, which = np.unique(np.round(self.first[flat], 9), return_inverse=True)
        return levels[np.bincount(which, self.draft_mass[flat], len(levels)) > 1e-3]

    def _capped(self, log_caps: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            cap = np.minimum(np.exp(log_caps), 1e300)
        below, above = self._running
        value = below[1][np.searchsorted(below[0], log_caps, side="right")]
        value += cap * above[1][np.searchsorted(above[0], -log_caps, side="right")]
        row, cell = self._crossed(log_caps)
        if not len(row):
            return np.asarray(value)
        edge = self._crossing(log_caps[row], cell)
        start, stop = self.left[cell], self.right[cell]
        part = np.where(
            self.first[cell] > self.last[cell],
            _between(self.target, edge, stop) + cap[row] * _between(self.draft, start, edge),
            _between(self.target, start, edge) + cap[row] * _between(self.draft, edge, stop),
        )
        np.add.at(value, row, part)
        return value

    @cached_property
    def _running(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Running target mass of cells by their highest level, and draft mass by their lowest.

        A flat cell at a level counts on the target's side only.
        """
        lowest, highest = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        over = np.where(lowest < highest, lowest, np.nextafter(lowest, -np.inf))
        return _running_mass(highest, self.target_mass), _running_mass(-over, self.draft_mass)

    def _crossed(self, log_caps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which cap is crossed in which cell."""
        lowest, highest = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        rows, cells = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for at in range(0, len(log_caps), _BLOCK):
            block = log_caps[at : at + _BLOCK, None]
            row, cell = np.nonzero((lowest < block) & (block < highest))
            rows.append(row + at)
            cells.append(cell)
        return np.concatenate(rows), np.concatenate(cells)

    def _crossing(self, level: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Where log r takes the level inside the cell, in which it is monotone."""
        falling = self.first[cell] > self.last[cell]
        low, high = self.left[cell], self.right[cell]
        # There p = c q, so the capped mass is stationary: an error counts by its square.
        for _ in range(32):
            middle = 0.5 * (low + high)
            left = (self._log_ratio(middle) > level) == falling
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        return 0.5 * (low + high)

    # -- integrals of smooth functions -------------------------------------------------------

    def log_affinity(self, power: float) -> float:
        above, below = self.log_target, self.log_draft
        if power > 1 and np.any((below == -np.inf) & (above > -np.inf)):
            return math.inf
        if power < 0 and np.any((above == -np.inf) & (below > -np.inf)):
            return math.inf
        both = (above > -np.inf) & (below > -np.inf)
        logs = np.full_like(above, -np.inf)
        logs[both] = power * above[both] + (1 - power) * below[both]
        return self._log_total(logs, open_ended=not 0 <= power <= 1)

    def divergence(self) -> float:
        return self._divergence(self.log_target, self.log_draft)

    def reverse_divergence(self) -> float:
        return self._divergence(self.log_draft, self.log_target)

    def log_harmonic(self) -> float:
        above, below = self.log_target, self.log_draft
        both = (above > -np.inf) & (below > -np.inf)
        logs = np.full_like(above, -np.inf)
        one, two = above[both], below[both]
        logs[both] = math.log(2) + one + two - np.logaddexp(one, two)
        return self._log_total(logs)

    def target_mean(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """``E_p f(log r)`` for a bounded smooth f."""
        _, log_weights = self._quadrature
        log_masses = self.log_target + log_weights
        heavy = log_masses > -42.0
        log_r = self.log_target[heavy] - self.log_draft[heavy]
        return float(np.exp(log_masses[heavy]) @ function(log_r))

    def _divergence(self, one: np.ndarray, two: np.ndarray) -> float:
        """``int one (log(one / two) + two / one - 1)``, a sum of terms that are not negative."""
        if np.any((two == -np.inf) & (one > -np.inf)):
            return math.inf
        terms = two.copy()  # what is left where ``one`` vanishes beside it
        near = one > two - 30
        gap = two[near] - one[near]
        small = np.abs(gap) < 1e-4  # expm1(g) - g loses its digits there
        excess = np.expm1(gap) - gap
        excess[small] = gap[small] ** 2 / 2 + gap[small] ** 3 / 6
        with np.errstate(divide="ignore"):
            terms[near] = one[near] + np.log(excess)
        return math.exp(self._log_total(terms, open_ended=True))

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """``(cells, nodes)`` points and logs of their weights, outermost cells left out."""
        nodes, weights = np.polynomial.legendre.leggauss(8)
        half = 0.5 * np.diff(self.left[1:])[:, None]
        points = self.left[1:-1, None] + half * (1 + nodes)
        return points, np.log(half * weights)

    @cached_property
    def log_target(self) -> np.ndarray:
        """``(cells, nodes)`` log p at the quadrature points."""
        points, _ = self._quadrature
        return self.target.log_density(points.reshape(-1)).reshape(points.shape)

    @cached_property
    def log_draft(self) -> np.ndarray:
        """``(cells, nodes)`` log q at the quadrature points."""
        points, _ = self._quadrature
        return self.draft.log_density(points.reshape(-1)).reshape(points.shape)

    def _log_total(self, logs: np.ndarray, open_ended: bool = False) -> float:
        """Log of the integral; inf if the ends of the line weigh in where it may diverge."""
        _, log_weights = self._quadrature
        terms = logs + log_weights
        whole = float(logsumexp(terms))
        if open_ended:
            ends = float(logsumexp(np.concatenate([terms[:_SPLIT], terms[-_SPLIT:]])))
            if ends > whole + math.log(1e-9) and self._endless(terms):
                return math.inf
        return whole

    def _endless(self, terms: np.ndarray) -> bool:
        """Whether the end that weighs in is an artificial one: no support ends there."""
        ends = (terms[:_SPLIT].max(), terms[-_SPLIT:].max())
        closed = (
            self.target_mass[0] + self.draft_mass[0],
            self.target_mass[-1] + self.draft_mass[-1],
        )
        return any(end >= max(ends) and mass > 0 for end, mass in zip(ends, closed, strict=True))


def _running_mass(values: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values in order, and the mass below each place between them."""
    order = np.argsort(values)
    return values[order], np.concatenate([[0.0], np.cumsum(masses[order])])


def _between(law: LineDensity, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """P(start < X < stop), from the tail that keeps more digits."""
    lower, upper = law.cdf(start), law.sf(stop)
    return np.maximum(np.where(lower < upper, law.cdf(stop) - lower, law.sf(start) - upper), 0.0)
