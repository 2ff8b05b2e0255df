"""What a density is here: a sampler on an explicit generator, and its logarithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from spectheory.errors import InputError, ShapeError


class Density(ABC):
    """A probability density on R^d.

    Class facts:
        family: name in messages and tables.

    Attributes:
        dimension: d.
    """

    family: ClassVar[str]
    dimension: int

    # -- public, checked ---------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``(n, d)`` independent draws, float64.

        Raises:
            InputError: n is no integer of at least 0, or rng no generator.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise InputError(f"`n` is {n!r}; expected an integer >= 0")
        if not isinstance(rng, np.random.Generator):
            raise InputError(
                f"`rng` is {type(rng).__name__}; expected a generator, as numpy.random.default_rng "
                "makes. A seed?"
            )
        return self._sample(int(n), rng)

    def log_density(self, points: Any) -> np.ndarray:
        """``(n,)`` natural logarithm of the density; ``-inf`` outside the support.

        Args:
            points: ``(n, d)``, or ``(n,)`` where d = 1.

        Raises:
            ShapeError: another number of coordinates.
        """
        return self._log_density(self.checked(points))

    def checked(self, points: Any) -> np.ndarray:
        """``points`` as ``(n, d)`` float64.

        Raises:
            ShapeError: another number of coordinates.
        """
        values = np.asarray(points, dtype=np.float64)
        if values.ndim == 1 and self.dimension == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != self.dimension:
            raise ShapeError(
                f"`points` has shape {np.shape(points)}; expected (n, {self.dimension}) for this "
                f"{self.family} density"
            )
        return values

    # -- what a density defines --------------------------------------------------------------

    @abstractmethod
    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """See `sample`."""

    @abstractmethod
    def _log_density(self, points: np.ndarray) -> np.ndarray:
        """See `log_density`; ``(n, d)`` is checked."""


class LineDensity(Density):
    """A density on the real line whose distribution function is known.

    Whether quantities of a pair can be had exactly on the line depends on this alone.
    """

    dimension = 1

    @abstractmethod
    def cdf(self, x: np.ndarray) -> np.ndarray:
        """P(X <= x), of ``x``'s shape."""

    @abstractmethod
    def sf(self, x: np.ndarray) -> np.ndarray:
        """P(X > x), of ``x``'s shape, with its own relative precision in the upper tail."""

    @abstractmethod
    def knots(self) -> np.ndarray:
        """Sorted points where the density or its slope jumps."""

    @abstractmethod
    def landmarks(self) -> np.ndarray:
        """Sorted points that cover the law, tails included, more densely where there is mass."""


def finite(name: str, values: Any, positive: bool = False) -> np.ndarray:
    """A float64 copy of ``values`` that cannot be written to: what is known of a law is kept.

    Raises:
        InputError: NaN or infinite entries, or entries <= 0 where they are to be positive.
    """
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    if array.size == 0 or not np.isfinite(array).all():
        raise InputError(f"`{name}` is {values!r}; expected finite numbers")
    if positive and (array <= 0).any():
        raise InputError(
            f"`{name}` holds {array.min():.6g}; expected numbers > 0. A logarithm, or a density "
            "without noise?"
        )
    return array
