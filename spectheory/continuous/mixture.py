"""Mixtures of densities; on the line with their distribution function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp

from spectheory.continuous.density import Density, LineDensity, finite
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.univariate import normal
from spectheory.errors import InputError, ShapeError


class Mixture(Density):
    """``sum_i w_i f_i``.

    Args:
        weights: ``(m,)``, positive with sum 1 (within 1e-9).
        components: m densities of one dimension.

    Raises:
        InputError: weights that are no law, or no component.
        ShapeError: components of different dimensions, or another number of weights.

    >>> two = Mixture([0.5, 0.5], [Gaussian([0.0, 0.0]), Gaussian([3.0, 0.0])])
    >>> two.log_density([[0.0, 0.0]])
    array([-2.5199765])
    """

    family: ClassVar[str] = "mixture"

    def __init__(self, weights: Sequence[float], components: Sequence[Density]) -> None:
        self.weights = finite("weights", weights, positive=True)
        self.components = tuple(components)
        if self.weights.shape != (len(self.components),):
            raise ShapeError(
                f"`weights` has shape {self.weights.shape} for {len(self.components)} components"
            )
        if abs(self.weights.sum() - 1) > 1e-9:
            raise InputError(f"`weights` sums to {self.weights.sum():.9g}; expected 1")
        self.weights = self.weights / self.weights.sum()
        dimensions = {component.dimension for component in self.components}
        if len(dimensions) != 1:
            raise ShapeError(f"`components` have dimensions {sorted(dimensions)}; expected one")
        self.dimension = dimensions.pop()

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        counts = rng.multinomial(n, self.weights)
        parts = [c.sample(int(m), rng) for c, m in zip(self.components, counts, strict=True)]
        points: np.ndarray = np.concatenate(parts)
        rng.shuffle(points)
        return points

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        logs = [component.log_density(points) for component in self.components]
        return np.asarray(logsumexp(logs, axis=0, b=self.weights[:, None]))


class LineMixture(Mixture, LineDensity):
    """A mixture of densities on the line."""

    components: tuple[LineDensity, ...]

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return self._average([component.cdf(x) for component in self.components])

    def sf(self, x: np.ndarray) -> np.ndarray:
        return self._average([component.sf(x) for component in self.components])

    def knots(self) -> np.ndarray:
        return np.unique(np.concatenate([component.knots() for component in self.components]))

    def landmarks(self) -> np.ndarray:
        return np.unique(np.concatenate([component.landmarks() for component in self.components]))

    def _average(self, values: list[np.ndarray]) -> np.ndarray:
        return np.asarray(np.tensordot(self.weights, np.asarray(values), axes=1))


def on_line(density: Density) -> LineDensity | None:
    """The density with its distribution function, if it is one on the line that has one.

    >>> on_line(Gaussian(0.0, 4.0)).cdf(np.array(2.0))
    array(0.84134475)
    >>> on_line(Gaussian([0.0, 0.0])) is None
    True
    """
    if isinstance(density, LineDensity):
        return density
    if isinstance(density, Gaussian) and density.dimension == 1:
        return normal(float(density.mean[0]), float(np.sqrt(density.variances[0])))
    if isinstance(density, Mixture) and density.dimension == 1:
        lines = [on_line(component) for component in density.components]
        if None not in lines:
            return LineMixture(density.weights.tolist(), lines)  # type: ignore[arg-type]
    return None
