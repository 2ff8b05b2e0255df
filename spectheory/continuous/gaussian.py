"""Gaussians in any dimension, with a scalar, diagonal or full covariance."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from spectheory.continuous.density import Density, finite
from spectheory.errors import InputError, ShapeError


class Gaussian(Density):
    """``N(mean, covariance)``.

    Args:
        mean: ``(d,)``, or a number for d = 1.
        covariance: a number v for ``v I``, ``(d,)`` variances, or ``(d, d)``.

    Raises:
        InputError, ShapeError: numbers that are not finite, variances <= 0, a matrix that is not
            symmetric and positive definite, or shapes that do not fit.

    >>> plane = Gaussian([0.0, 0.0], [1.0, 4.0])
    >>> plane.log_density([[0.0, 0.0]])
    array([-2.53102425])
    >>> plane.sample(3, np.random.default_rng(0)).shape
    (3, 2)
    """

    family: ClassVar[str] = "Gaussian"

    def __init__(self, mean: Any, covariance: Any = 1.0) -> None:
        self.mean = np.atleast_1d(finite("mean", mean))
        given = finite("covariance", covariance, positive=np.ndim(covariance) < 2)
        if self.mean.ndim != 1:
            raise ShapeError(f"`mean` has shape {self.mean.shape}; expected (d,)")
        self.dimension = self.mean.size
        if given.shape not in ((), self.mean.shape, 2 * self.mean.shape):
            raise ShapeError(
                f"`covariance` has shape {given.shape} beside a mean of {self.dimension} "
                "coordinates; expected a number, (d,) variances or (d, d)"
            )
        self.covariance: np.ndarray | None = None
        """``(d, d)``, or None where the covariance is diagonal."""
        if given.ndim < 2:
            self.variances = np.broadcast_to(given, self.mean.shape)
        else:
            if not np.allclose(given, given.T, rtol=1e-10, atol=0):
                raise InputError("`covariance` is not symmetric")
            self.variances = np.diag(given)
            if np.any(given != np.diag(self.variances)):
                self.covariance = given
            finite("covariance", self.variances, positive=True)
        if self.covariance is not None:
            _ = self.factor

    @cached_property
    def factor(self) -> np.ndarray:
        """Lower Cholesky factor of a full covariance."""
        try:
            return np.asarray(cholesky(self.covariance, lower=True))
        except np.linalg.LinAlgError as error:
            raise InputError(f"`covariance` is not positive definite: {error}") from error

    def standardised(self, points: np.ndarray) -> np.ndarray:
        """``(n, d)``: the points in coordinates where this law is ``N(0, I)``."""
        centred = points - self.mean
        if self.covariance is None:
            return np.asarray(centred / np.sqrt(self.variances))
        return np.asarray(solve_triangular(self.factor, centred.T, lower=True).T)

    def unstandardised(self, noise: np.ndarray) -> np.ndarray:
        """Inverse of `standardised`."""
        if self.covariance is None:
            return np.asarray(self.mean + np.sqrt(self.variances) * noise)
        return np.asarray(self.mean + noise @ self.factor.T)

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.unstandardised(rng.standard_normal((n, self.dimension)))

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        noise = self.standardised(points)
        if self.covariance is None:
            half_log_det = 0.5 * float(np.log(self.variances).sum())
        else:
            half_log_det = float(np.log(np.diag(self.factor)).sum())
        constant = 0.5 * self.dimension * math.log(2 * math.pi) + half_log_det
        return np.asarray(-0.5 * np.einsum("nd,nd->n", noise, noise) - constant)
