"""A diffusion sampler as a chain of Gaussian kernels, and the density of its whole path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from spectheory.continuous.density import Density, finite
from spectheory.continuous.gaussian import Gaussian
from spectheory.errors import ShapeError

Mean = Callable[[np.ndarray], np.ndarray]
"""Maps the ``(n, d)`` states before a step to the means of the states after it."""


class DiffusionChain(Density):
    """Paths ``(x_T, ..., x_0)`` of ``x_T ~ start`` and ``x_(t-1) ~ N(mean_t(x_t), variance_t)``.

    As a density it is the law of the whole path, flattened to ``(T + 1) d`` numbers, first state
    first. Two chains make a pair whose overlap is the acceptance of testing whole paths, at most
    that of the last states' laws.

    Args:
        start: law of the first state.
        means: T maps, in the order of the steps.
        variances: ``(T,)``, or ``(T, d)`` for a diagonal covariance.

    Raises:
        InputError: variances <= 0, as of a sampler whose last step adds no noise.
        ShapeError: another number of variances than of means.

    >>> halve = DiffusionChain(Gaussian(0.0), [lambda x: 0.5 * x] * 2, [1.0, 0.25])
    >>> halve.dimension, halve.run(np.array([[[1.0], [0.0], [2.0]]])).tolist()
    (3, [[[1.0], [0.5], [1.25]]])
    """

    family: ClassVar[str] = "diffusion chain"

    def __init__(self, start: Gaussian, means: Sequence[Mean], variances: Any) -> None:
        spread = finite("variances", variances, positive=True)
        self.start, self.means = start, tuple(means)
        if spread.ndim == 1:
            spread = spread[:, None]
        if spread.ndim != 2 or len(spread) != len(self.means):
            raise ShapeError(
                f"`variances` has shape {np.shape(variances)} for {len(self.means)} steps; "
                "expected one variance, or one row, a step"
            )
        self.deviations = np.broadcast_to(np.sqrt(spread), (len(spread), start.dimension))
        self.dimension = (len(self.means) + 1) * start.dimension

    @property
    def steps(self) -> int:
        """T."""
        return len(self.means)

    def run(self, noise: np.ndarray) -> np.ndarray:
        """``(n, T + 1, d)`` paths from standard normal ``noise`` of that shape.

        Two chains run on one noise are coupled by it.
        """
        states = [self.start.unstandardised(noise[:, 0])]
        for mean, deviation, step in zip(
            self.means, self.deviations, np.moveaxis(noise, 1, 0)[1:], strict=True
        ):
            states.append(mean(states[-1]) + deviation * step)
        return np.stack(states, axis=1)

    def paths(self, flat: np.ndarray) -> np.ndarray:
        """``(n, T + 1, d)`` view of ``(n, (T + 1) d)`` flattened paths."""
        return flat.reshape(len(flat), self.steps + 1, self.start.dimension)

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal((n, self.steps + 1, self.start.dimension))
        return self.run(noise).reshape(n, -1)

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        states = self.paths(points)
        total = self.start.log_density(states[:, 0])
        for t, (mean, deviation) in enumerate(zip(self.means, self.deviations, strict=True)):
            noise = (states[:, t + 1] - mean(states[:, t])) / deviation
            constant = np.log(deviation).sum() + 0.5 * noise.shape[1] * np.log(2 * np.pi)
            total = total - 0.5 * np.einsum("nd,nd->n", noise, noise) - constant
        return total


def linear_path(start: Gaussian, steps: Sequence[tuple[float, float, float]]) -> Gaussian:
    """The path law of a one-dimensional chain with means ``a x + b``, as one Gaussian.

    Args:
        start: law of the first state, d = 1.
        steps: ``(a, b, variance)`` of each step, in order.

    Returns:
        ``N`` in T + 1 dimensions, first state first; its last coordinate is the output's law.

    Raises:
        ShapeError: a first state of more coordinates.
        InputError: a variance that is not positive and finite.

    >>> path = linear_path(Gaussian(0.0), [(0.5, 1.0, 0.75)])
    >>> path.mean, path.covariance
    (array([0., 1.]), array([[1. , 0.5], [0.5, 1. ]]))
    """
    if start.dimension != 1:
        raise ShapeError(f"`start` has {start.dimension} coordinates; expected one")
    size = len(steps) + 1
    mean, factor = np.empty(size), np.zeros((size, size))
    mean[0], factor[0, 0] = start.mean[0], np.sqrt(start.variances[0])
    for t, (multiplier, drift, variance) in enumerate(steps):
        finite("variance", variance, positive=True)
        mean[t + 1] = multiplier * mean[t] + drift
        factor[t + 1] = multiplier * factor[t]
        factor[t + 1, t + 1] = np.sqrt(variance)
    return Gaussian(mean, factor @ factor.T)
