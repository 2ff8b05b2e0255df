"""A target and a draft density on one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spectheory.continuous.density import Density
from spectheory.errors import InputError, ShapeError


@dataclass(frozen=True)
class ContinuousPair:
    """Two densities with samplers: ``target`` p and ``draft`` q.

    Raises:
        InputError: something that is no `Density`.
        ShapeError: densities of different dimensions.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian([0.0, 0.0]), Gaussian([1.0, 0.0]))
    >>> pair.log_ratio([[0.5, 7.0], [0.0, 0.0]])
    array([0. , 0.5])
    """

    target: Density
    draft: Density

    def __post_init__(self) -> None:
        for name, density in (("target", self.target), ("draft", self.draft)):
            if not isinstance(density, Density):
                raise InputError(
                    f"`{name}` is {type(density).__name__}; expected a Density. A torch "
                    "distribution goes through `from_torch`, one of scipy.stats through "
                    "`Univariate`"
                )
        if self.target.dimension != self.draft.dimension:
            raise ShapeError(
                f"`target` has dimension {self.target.dimension} and `draft` "
                f"{self.draft.dimension}; expected densities on one space"
            )

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return self.target.dimension

    def log_ratio(self, points: Any) -> np.ndarray:
        """``(n,)`` values of ``log p - log q``: inf where only q is 0, -inf where p is.

        Args:
            points: ``(n, d)``.
        """
        points = self.target.checked(points)
        above, below = self.target.log_density(points), self.draft.log_density(points)
        impossible = above == -np.inf
        return np.where(impossible, -np.inf, np.where(impossible, 0.0, above) - below)
