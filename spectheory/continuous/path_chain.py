"""Denoising chains: T Gaussian kernels from pure noise x_T down to the sample x_0.

A chain is one model's sampler for a batch of rows, each with its own condition. All start from one
noise law, so a path is a function of a noise array, and "the same noise under another model" has a
meaning. (`DiffusionChain` is the law of whole paths as one density, without conditions.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from spectheory.errors import InputError, ShapeError


class Kernel(NamedTuple):
    """The Gaussian ``N(mean, diag(scale^2))``.

    Attributes:
        mean: ``(n, d)``.
        scale: standard deviations, broadcast against ``mean``.
    """

    mean: np.ndarray
    scale: np.ndarray

    def at(self, noise: np.ndarray) -> np.ndarray:
        """``(n, d)``: the draw that ``(n, d)`` standard normal noise stands for."""
        return self.mean + self.scale * noise

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """``(n,)``: log density at ``(n, d)`` points, less ``d/2 log 2 pi``.

        The constant is left out because only ratios in one dimension count are ever formed.

        >>> kernel = Kernel(np.zeros((1, 2)), np.array(2.0))
        >>> kernel.log_density(np.zeros((1, 2)))
        array([-1.386294])
        """
        standard = (x - self.mean) / self.scale
        return -0.5 * (standard**2).sum(axis=-1) - self.log_volume()

    def log_volume(self) -> np.ndarray:
        """``(n,)``: log of the product of the standard deviations."""
        return np.log(np.broadcast_to(self.scale, self.mean.shape)).sum(axis=-1)

    def rows(self, index: np.ndarray) -> Self:
        """The kernels of the rows in ``index``."""
        scale = np.broadcast_to(self.scale, self.mean.shape)
        return type(self)(self.mean[index], scale[index])


class DenoisingChain(ABC):
    """The denoising chain ``x_{t-1} = mean_t(x_t) + scale_t eps`` from ``x_T ~ N(0, I)``.

    A chain stands for a batch of n rows, each with its own condition if the model has one.

    Attributes:
        steps: T.
        dimension: d.
    """

    steps: int
    dimension: int

    @abstractmethod
    def kernel(self, t: int, x: np.ndarray) -> Kernel:
        """Kernel of step t, 1 to T, at states x_t ``(n, d)``."""

    @abstractmethod
    def rows(self, index: np.ndarray) -> DenoisingChain:
        """The chain for the rows in ``index`` (repeats allowed), in that order."""

    def run(self, noise: np.ndarray, stop: int = 0) -> np.ndarray:
        """``(n, T + 1 - stop, d)``: states x_stop, ..., x_T on a noise tape.

        Args:
            noise: ``(n, T + 1, d)``; entry T is x_T itself, entry t - 1 is the noise of step t.
            stop: last state to compute.

        Raises:
            ShapeError: a tape of another shape.
        """
        if noise.ndim != 3 or noise.shape[1:] != (self.steps + 1, self.dimension):
            raise ShapeError(
                f"`noise` has shape {noise.shape}; expected (n, {self.steps + 1}, "
                f"{self.dimension}): one row for x_T and one for each of {self.steps} steps"
            )
        states = np.empty(noise[:, stop:].shape)
        states[:, -1] = noise[:, -1]
        for t in range(self.steps, stop, -1):
            x = states[:, t - stop]
            states[:, t - 1 - stop] = self.kernel(t, x).at(noise[:, t - 1])
        return states

    def run_from(self, t: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``(n, t + 1, d)``: states x_0, ..., x_t from given x_t, with fresh noise."""
        states = np.empty((len(x), t + 1, self.dimension))
        states[:, t] = x
        for s in range(t, 0, -1):
            noise = rng.standard_normal(x.shape)
            states[:, s - 1] = self.kernel(s, states[:, s]).at(noise)
        return states

    def tape(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Noise for n paths."""
        return rng.standard_normal((n, self.steps + 1, self.dimension))

    def log_path(self, states: np.ndarray) -> np.ndarray:
        """``(n,)``: log density of x_0, ..., x_{t-1} given x_t for ``(n, t + 1, d)`` states."""
        return sum(
            (
                self.kernel(s, states[:, s]).log_density(states[:, s - 1])
                for s in range(states.shape[1] - 1, 0, -1)
            ),
            np.zeros(len(states)),
        )


class Path(NamedTuple):
    """A drafted path.

    Attributes:
        states: ``(n, T + 1, d)``, x_0 to x_T.
        noise: ``(n, T + 1, d)``, the tape it was run on.
    """

    states: np.ndarray
    noise: np.ndarray

    @property
    def sample(self) -> np.ndarray:
        """``(n, d)``: x_0, the drafted value."""
        return self.states[:, 0]


def draw_path(chain: DenoisingChain, n: int, rng: np.random.Generator) -> Path:
    """Run a chain on fresh noise for n rows.

    >>> chain = LinearChain(np.array([0.5, 0.5]), np.zeros(2), np.array([1.0, 1.0]))
    >>> draw_path(chain, 3, np.random.default_rng(0)).states.shape
    (3, 3, 1)
    """
    noise = chain.tape(n, rng)
    return Path(chain.run(noise), noise)


@dataclass(frozen=True, eq=False)
class LinearChain(DenoisingChain):
    """``x_{t-1} = decay_t x_t + shift_t + scale_t eps``: every law of it is Gaussian and known.

    Attributes:
        decay: ``(T,)``, entry t - 1 for step t.
        shift: ``(T,)`` or ``(T, d)``.
        scale: ``(T,)`` or ``(T, d)`` standard deviations.

    Raises:
        InputError: scales that are not positive.
        ShapeError: lengths that differ.

    >>> chain = LinearChain(np.array([0.5]), np.array([1.0]), np.array([0.3]))
    >>> chain.marginal(1).mean.tolist(), round(float(chain.marginal(1).scale[0, 0] ** 2), 2)
    ([[1.0]], 0.34)
    """

    decay: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(self.decay), len(self.shift), len(self.scale)}
        if len(lengths) != 1 or not len(self.decay):
            raise ShapeError(f"`decay`, `shift` and `scale` have lengths {sorted(lengths)}")
        if not np.all(np.asarray(self.scale) > 0):
            raise InputError(
                f"`scale` holds {np.min(self.scale)}; a kernel without noise accepts no draft"
            )

    @cached_property
    def steps(self) -> int:  # type: ignore[override]
        return len(self.decay)

    @cached_property
    def dimension(self) -> int:  # type: ignore[override]
        widths = {np.shape(part)[1] for part in (self.shift, self.scale) if np.ndim(part) == 2}
        return max(widths, default=1)

    def kernel(self, t: int, x: np.ndarray) -> Kernel:
        return Kernel(self.decay[t - 1] * x + self.shift[t - 1], np.asarray(self.scale[t - 1]))

    def rows(self, index: np.ndarray) -> LinearChain:
        return self

    def marginal(self, n: int) -> Kernel:
        """The law of x_0, in closed form, for n rows."""
        mean, variance = np.zeros(self.dimension), np.ones(self.dimension)
        for t in range(self.steps, 0, -1):
            mean = self.decay[t - 1] * mean + self.shift[t - 1]
            variance = self.decay[t - 1] ** 2 * variance + np.asarray(self.scale[t - 1]) ** 2
        shape = (n, self.dimension)
        return Kernel(np.broadcast_to(mean, shape), np.broadcast_to(np.sqrt(variance), shape))

    def tempered(self, temperature: float) -> LinearChain:
        """The chain with every standard deviation multiplied by ``temperature``."""
        return replace(self, scale=np.asarray(self.scale) * temperature)
