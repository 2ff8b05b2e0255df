"""Likelihood ratio of two Gaussians: closed form for a shift, contour integral for the rest.

In coordinates where the draft is N(0, I) and the target N(mu, diag(lambda)), the log ratio is a
quadratic form and its moments are

    M(s) = prod_i lambda_i^(-s/2) A_i^(-1/2) exp(-mu_i^2 s (1-s) / (2 lambda_i A_i)),
    A_i = 1 + s (1/lambda_i - 1),

for all s with every A_i > 0.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import eigh, solve_triangular
from scipy.special import log_ndtr

from spectheory.continuous.contour import log_integrals, saddle
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.ratio_law import RatioLaw
from spectheory.errors import InputError

_BLOCK = 0.5
"""Caps whose logarithms differ by at most this, and by no more than the log ratio's own spread,
share one path."""

_FAR = 1e280
"""Below this, ratios of variances and squares of shifts in deviations have moments that are float64
numbers."""


class GaussianRatio(RatioLaw):
    """The ratio law of Gaussians with different covariances.

    Args:
        variances: ``(m,)`` lambda.
        shifts: ``(m,)`` mu^2.
        counts: ``(m,)`` how many coordinates share these.

    >>> law = gaussian_ratio(Gaussian(np.zeros(16)), Gaussian(np.zeros(16), 1.69))
    >>> round(float(law.capped(1.0)), 6)
    0.463552
    """

    method: ClassVar[str] = "contour integral of the ratio's moments"

    def __init__(self, variances: np.ndarray, shifts: np.ndarray, counts: np.ndarray) -> None:
        self.variances, self.shifts, self.counts = variances, shifts, counts
        self.tilt = 1 / variances - 1
        up, down = self.tilt > 0, self.tilt < 0
        self.lowest = float(np.max(-1 / self.tilt[up], initial=-np.inf))
        self.highest = float(np.min(-1 / self.tilt[down], initial=np.inf))
        curved = self.tilt != 0
        centre = shifts[curved] / (1 - variances[curved]) - np.log(variances[curved])
        self.stationary = 0.5 * float(counts[curved] @ centre) if curved.any() else None
        """Log ratio at its stationary point; none for a pure shift."""
        self.least, self.most = -math.inf, math.inf
        if self.stationary is not None and not shifts[~curved].any():
            self.least = self.stationary if not up.any() else -math.inf
            self.most = self.stationary if not down.any() else math.inf

    def log_moment(self, s: np.ndarray) -> np.ndarray:
        """``log M(s)``, ``(n,)`` complex or real."""
        total = np.zeros_like(s)
        # Blocks keep the (points, coordinates) table small at 10,000 coordinates.
        for at in range(0, len(self.counts), 256):
            part = slice(at, at + 256)
            variance, weight = self.variances[part], self.counts[part]
            scaled = 1 + s[:, None] * self.tilt[part]
            shift = self.shifts[part] * (s * (1 - s))[:, None] / (variance * scaled)
            total = total - 0.5 * ((np.log(scaled) + shift) @ weight)
            total = total - 0.5 * s * float(weight @ np.log(variance))
        return total

    def log_affinity(self, power: float) -> float:
        if not self.lowest < power < self.highest:
            return math.inf
        return float(self.log_moment(np.array([float(power)]))[0])

    def divergence(self) -> float:
        excess = _excess(self.variances)
        return 0.5 * float(self.counts @ (excess + self.shifts))

    def reverse_divergence(self) -> float:
        excess = _excess(1 / self.variances)
        return 0.5 * float(self.counts @ (excess + self.shifts / self.variances))

    def log_supremum(self) -> float:
        return self.most

    def log_harmonic(self) -> float:
        def kernel(s: np.ndarray) -> np.ndarray:
            # log(pi / sin(pi s)) for Im s >= 0, without overflow of the sine
            turn = np.exp(2j * np.pi * s)
            return math.log(2 * math.pi) + 0.5j * np.pi * (2 * s - 1) - np.log(1 - turn)

        def real(s: float) -> float:
            return self.log_affinity(s) - math.log(math.sin(math.pi * s))

        at = saddle(real, 0.0, 1.0)
        _, log_value = log_integrals(
            lambda s: self.log_moment(s) + kernel(s),
            lambda s: np.zeros((1, len(s))),
            at,
            self._scale(at, real),
            self._side(0.0),
        )
        return math.log(2) + float(log_value[0])

    def log_capped(self, log_cap: Any) -> np.ndarray:
        caps = np.asarray(log_cap, dtype=np.float64)
        flat = caps.reshape(-1)
        values = np.minimum(flat, 0.0)  # what it is for caps outside the range of the ratio
        order = [int(i) for i in np.argsort(flat) if self.least < flat[i] < self.most]
        while order:
            first = flat[order[0]]
            last = first + min(_BLOCK, math.sqrt(self.reverse_divergence()))
            if self.stationary is not None and first <= self.stationary < last:
                last = self.stationary  # beyond it the path bends to the other side
            size = next((n for n, i in enumerate(order) if flat[i] > last), len(order))
            block, order = order[:size], order[size:]
            values[block] = self._block(flat[block])
        return values.reshape(caps.shape)

    def _block(self, log_caps: np.ndarray) -> np.ndarray:
        middle = 0.5 * (float(log_caps[0]) + float(log_caps[-1]))

        def real(s: float) -> float:
            poles = abs(s) * abs(1 - s)
            if poles == 0 or not self.lowest < s < self.highest:
                return math.inf
            return self.log_affinity(s) - s * middle - math.log(poles)

        near, far = 0.0, 1.0
        if middle < -self.reverse_divergence():
            near, far = 0.0, self.lowest
        elif middle > self.divergence():
            near, far = 1.0, self.highest
        at = saddle(real, near, far)
        # C stays below c at low caps and below 1 at high ones; elsewhere it is the integral.
        limit = None if 0 < at < 1 else log_caps if at < 0 else np.zeros_like(log_caps)
        if limit is not None:
            # Markov's inequality: (c - r)_+ and (r - c)_+ are at most c^(1-s) r^s.
            most = self.log_affinity(at) + (1 - at) * log_caps - limit
            if np.all(most < -50):
                return limit
        sign, log_value = log_integrals(
            lambda s: self.log_moment(s) - np.log(s) - np.log(1 - s),
            lambda s: (1 - s) * log_caps[:, None],
            at,
            self._scale(at, real),
            self._side(middle),
        )
        if limit is None:
            return log_value
        # Outside (0, 1) the integral is minus the shortfall from the limit.
        return limit + np.log1p(np.minimum(sign, 0) * np.exp(np.minimum(log_value - limit, 0.0)))

    def _scale(self, at: float, real: Any) -> float:
        """A few widths of the saddle, inside the distance to the nearest singularity."""
        room = min(abs(at - end) for end in (0.0, 1.0, self.lowest, self.highest))
        step = 0.05 * room
        bend = (real(at + step) - 2 * real(at) + real(at - step)) / step**2
        return min(0.6 * room, 2.5 / math.sqrt(max(bend, 1e-300)))

    def _side(self, log_cap: float) -> int:
        """Where ``M(s) c^(-s)`` decays: it goes like ``exp(s (stationary - log c))``."""
        if self.stationary is None:
            return 0
        return -1 if self.stationary > log_cap else 1


class GaussianShift(GaussianRatio):
    """The ratio law of Gaussians with one covariance, a Mahalanobis distance delta apart.

    The ratio is monotone in one coordinate s, ``log r = delta s - delta^2 / 2`` with s standard
    normal under the draft.

    >>> float(GaussianShift(1.0).capped(1.0))
    0.61707507745
    """

    method: ClassVar[str] = "closed form, Gaussians with one covariance"

    def __init__(self, distance: float) -> None:
        super().__init__(np.ones(1), np.array([distance**2]), np.ones(1))
        self.distance = distance

    def log_supremum(self) -> float:
        return math.inf if self.distance else 0.0

    def log_capped(self, log_cap: Any) -> np.ndarray:
        log_cap = np.asarray(log_cap, dtype=np.float64)
        if self.distance == 0:
            return np.minimum(log_cap, 0.0)
        bounded = np.clip(log_cap, -1e300, 1e300)
        threshold = bounded / self.distance + self.distance / 2
        below = log_ndtr(threshold - self.distance)
        value = np.logaddexp(below, bounded + log_ndtr(-threshold))
        return np.minimum(value, np.minimum(log_cap, 0.0))


def gaussian_ratio(target: Gaussian, draft: Gaussian) -> GaussianRatio:
    """The ratio law of two Gaussians of one dimension.

    Raises:
        InputError: variances 1e280 or more apart, or means 1e140 deviations.

    >>> law = gaussian_ratio(Gaussian(np.zeros(10_000)), Gaussian(np.ones(10_000)))
    >>> round(float(law.log_capped(0.0)), 3)  # far below the smallest float64
    -1254.138
    """
    gap = target.mean - draft.mean
    if draft.covariance is None and target.covariance is None:
        with np.errstate(over="ignore", under="ignore"):  # refused below
            variances = target.variances / draft.variances
            shifts = (gap / np.sqrt(draft.variances)) ** 2
        _refuse_far(variances, shifts)
        if np.array_equal(target.variances, draft.variances):
            return GaussianShift(float(np.linalg.norm(gap / np.sqrt(draft.variances))))
    else:
        above, below = (
            np.diag(law.variances) if law.covariance is None else law.covariance
            for law in (target, draft)
        )
        factor = np.linalg.cholesky(below)
        centred = solve_triangular(factor, gap, lower=True)
        with np.errstate(over="ignore"):  # refused below
            _refuse_far(np.ones(1), centred**2)
        if np.array_equal(above, below):
            return GaussianShift(float(np.linalg.norm(centred)))
        half = solve_triangular(factor, above, lower=True)
        variances, axes = eigh(solve_triangular(factor, half.T, lower=True))
        shifts = (axes.T @ centred) ** 2
        _refuse_far(variances, shifts)
    kinds, counts = np.unique(np.stack([variances, shifts]), axis=1, return_counts=True)
    return GaussianRatio(kinds[0], kinds[1], counts.astype(np.float64))


def _refuse_far(variances: np.ndarray, shifts: np.ndarray) -> None:
    """Refuse a target whose moments, in the draft's units, float64 does not hold."""
    least, most = float(variances.min()), float(variances.max())
    if not 1 / _FAR < least <= most < _FAR:
        raise InputError(
            f"`target` has variances of {least:.3g} to {most:.3g} times those of `draft`; expected "
            f"between {1 / _FAR:g} and {_FAR:g} times. A slip in an exponent, or a covariance that "
            "is singular but for rounding?"
        )
    with np.errstate(over="ignore"):
        squared = float(max(shifts.sum(), (shifts / variances).sum()))
    if not squared < _FAR:
        raise InputError(
            f"the means of `target` and `draft` are {math.sqrt(squared):.3g} deviations apart; "
            f"expected less than {math.sqrt(_FAR):g}. A slip in an exponent?"
        )


def _excess(variance: np.ndarray) -> np.ndarray:
    """``v - 1 - log v`` for v > 0, without cancellation at 1."""
    x = variance - 1
    near = np.clip(x, -1e-4, 1e-4)
    series = near**2 * (0.5 - near * (1 / 3 - near / 4))
    return np.where(near == x, series, x - np.log(variance))
