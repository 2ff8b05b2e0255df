"""Densities on the line that scipy.stats knows: Laplace, exponential, uniform, Student, normal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy import stats

from spectheory.continuous.density import LineDensity, finite
from spectheory.errors import InputError

_TAIL = 10.0 ** -np.concatenate([np.arange(300.0, 20.0, -20.0), np.arange(20.0, 1.0, -1.0)])
_FAR = 1e150
"""Landmarks stay where squares do not overflow."""

_BODY = np.linspace(0.02, 0.98, 49)


class Univariate(LineDensity):
    """A frozen continuous distribution of scipy.stats.

    Args:
        law: such as ``scipy.stats.norm(0, 2)``.
        knots: points where the density or its slope jumps, ends of the support aside.
        family: name in messages and for closed forms.
        parameters: of the family, for closed forms.
        log_density: in place of the law's own, where that underflows in the tails.

    Raises:
        InputError: not a frozen continuous distribution.

    >>> Univariate(stats.gumbel_r()).log_density([0.0])
    array([-1.])
    """

    family: ClassVar[str] = "univariate"

    def __init__(
        self,
        law: Any,
        knots: tuple[float, ...] = (),
        family: str | None = None,
        parameters: tuple[float, ...] = (),
        log_density: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        if not isinstance(getattr(law, "dist", None), stats.rv_continuous):
            raise InputError(
                f"`law` is {law!r}; expected a frozen continuous distribution of scipy.stats"
            )
        self.law = law
        self.name = family or law.dist.name
        self.parameters = parameters
        self._log = log_density or law.logpdf
        ends = np.asarray(law.support())
        self._knots = np.sort(np.concatenate([ends[np.isfinite(ends)], knots]))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # far out, where squares overflow and the limit is right
            return np.asarray(self.law.cdf(x))

    def sf(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(self.law.sf(x))

    def knots(self) -> np.ndarray:
        return self._knots

    def landmarks(self) -> np.ndarray:
        points = np.concatenate([self.law.ppf(_TAIL), self.law.ppf(_BODY), self.law.isf(_TAIL)])
        return np.unique(points[np.abs(points) < _FAR])

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.asarray(self.law.rvs(size=(n, 1), random_state=rng))

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(self._log(points[:, 0]))


def laplace(location: float, scale: float) -> Univariate:
    """``exp(-|x - location| / scale) / (2 scale)``.

    >>> laplace(0.0, 2.0).log_density([0.0])
    array([-1.38629436])
    """
    location, scale = _number("location", location), _number("scale", scale, positive=True)

    def log_density(x: np.ndarray) -> np.ndarray:
        return -np.abs(x - location) / scale - np.log(2 * scale)

    return Univariate(
        stats.laplace(location, scale), (location,), "Laplace", (location, scale), log_density
    )


def exponential(rate: float, start: float = 0.0) -> Univariate:
    """``rate exp(-rate (x - start))`` for x >= start.

    >>> exponential(2.0).log_density([0.5, -0.5])
    array([-0.30685282,        -inf])
    """
    rate, start = _number("rate", rate, positive=True), _number("start", start)
    scale = _number("1 / rate", 1 / rate, positive=True)
    return Univariate(stats.expon(start, scale), (), "exponential", (rate, start))


def uniform(low: float, high: float) -> Univariate:
    """``1 / (high - low)`` on [low, high].

    Raises:
        InputError: low is not below high, or so far that float64 has no number for it.

    >>> uniform(0.0, 4.0).log_density([1.0])
    array([-1.38629436])
    """
    low, high = _number("low", low), _number("high", high)
    if not low < high:
        raise InputError(f"uniform({low:g}, {high:g}): `low` is to be below `high`")
    length = _number("high - low", high - low)
    return Univariate(stats.uniform(low, length), (), "uniform", (low, high))


def student(freedom: float, location: float = 0.0, scale: float = 1.0) -> Univariate:
    """Student's t with that many degrees of freedom, shifted and scaled.

    Raises:
        InputError: fewer than 0.1 degrees, where float64 cannot hold the tails.

    >>> student(3.0).log_density([0.0])
    array([-1.00088885])
    """
    freedom = _number("freedom", freedom, positive=True)
    if freedom < 0.1:
        raise InputError(f"`freedom` is {freedom:g}; expected at least 0.1 degrees of freedom")
    location, scale = _number("location", location), _number("scale", scale, positive=True)
    return Univariate(stats.t(freedom, location, scale), (), "Student")


def normal(mean: float, deviation: float) -> Univariate:
    """``N(mean, deviation^2)`` with its distribution function; `Gaussian` goes to any dimension.

    >>> normal(0.0, 1.0).cdf(np.array(0.0))
    array(0.5)
    """
    mean, deviation = _number("mean", mean), _number("deviation", deviation, positive=True)
    return Univariate(stats.norm(mean, deviation), (), "normal")


def _number(name: str, value: float, positive: bool = False) -> float:
    array = finite(name, value, positive)
    if array.ndim:
        raise InputError(f"`{name}` is {value!r}; expected one number")
    return float(array)
