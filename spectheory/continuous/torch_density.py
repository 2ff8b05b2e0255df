"""Densities from torch distributions: the known families in closed form, any other as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from spectheory.continuous import univariate
from spectheory.continuous.density import Density
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.mixture import Mixture
from spectheory.errors import InputError, ShapeError


def from_torch(distribution: Any) -> Density:
    """The density of a torch distribution over a number or a vector.

    Normal, Laplace, Exponential, Uniform, StudentT, MultivariateNormal, independent normals and
    mixtures of normals become the densities of this package, for which exact overlaps are known;
    any other distribution is wrapped as a `TorchDensity`.

    Raises:
        InputError: not a continuous torch distribution.
        ShapeError: a batch of distributions.

    >>> import torch
    >>> from_torch(torch.distributions.Normal(0.0, 2.0)).variances
    array([4.])
    >>> from_torch(torch.distributions.Gumbel(0.0, 1.0)).log_density([0.0])
    array([-1.])
    """
    known = _torch().distributions
    if not isinstance(distribution, known.Distribution):
        raise InputError(
            f"`distribution` is {type(distribution).__name__}; expected a torch distribution"
        )
    if tuple(distribution.batch_shape) or len(distribution.event_shape) > 1:
        raise ShapeError(
            f"the torch distribution has batch shape {tuple(distribution.batch_shape)} and event "
            f"shape {tuple(distribution.event_shape)}; expected one distribution over a number or "
            "a vector. Wrap a batch of coordinates in Independent(..., 1)"
        )
    if distribution.support.is_discrete:
        raise InputError(f"`distribution` is {distribution}; expected a density, this is discrete")
    kind = type(distribution)
    for name, (maker, fields) in _ON_LINE.items():
        if kind is getattr(known, name):
            return maker(*(float(getattr(distribution, field)) for field in fields))
    if kind is known.MixtureSameFamily:
        parts = _gaussians(distribution.component_distribution)
        weights = _array(distribution.mixture_distribution.probs)
        if parts:
            return Mixture((weights / weights.sum()).tolist(), parts)
    else:
        for gaussian in _gaussians(distribution):
            return gaussian
    return TorchDensity(distribution)


class TorchDensity(Density):
    """A torch distribution, by its ``sample`` and ``log_prob``.

    torch draws from the CPU's global generator; that is seeded from the caller's for the draw and
    put back afterwards, so nothing outside is disturbed.

    Raises:
        InputError: a distribution on another device.

    >>> import torch
    >>> density = TorchDensity(torch.distributions.Gumbel(0.0, 1.0))
    >>> first, again = (density.sample(2, np.random.default_rng(7)) for _ in range(2))
    >>> bool((first == again).all())
    True
    """

    family: ClassVar[str] = "torch"

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution
        self.event = tuple(distribution.event_shape)
        self.dimension = int(np.prod(self.event, dtype=np.int64))
        self._inside = self._draw(1, 0)[0]
        if self._inside.device.type != "cpu":
            raise InputError(
                f"`distribution` is on {self._inside.device}; expected one with parameters on the "
                "CPU"
            )

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return _array(self._draw(n, int(rng.integers(2**63)))).reshape(n, self.dimension)

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        torch = _torch()
        values = torch.from_numpy(points).reshape(len(points), *self.event)
        values = values.to(self._inside.dtype)
        inside = self.distribution.support.check(values)
        # log_prob refuses points outside the support, so another stands in for them.
        held = torch.where(inside.reshape(-1, *(1 for _ in self.event)), values, self._inside)
        return np.where(inside.numpy(), _array(self.distribution.log_prob(held)), -np.inf)

    def _draw(self, n: int, seed: int) -> Any:
        torch = _torch()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
            return self.distribution.sample((n,))


_ON_LINE: dict[str, tuple[Callable[..., Density], tuple[str, ...]]] = {
    "Laplace": (univariate.laplace, ("loc", "scale")),
    "Exponential": (univariate.exponential, ("rate",)),
    "Uniform": (univariate.uniform, ("low", "high")),
    "StudentT": (univariate.student, ("df", "loc", "scale")),
}


def _gaussians(family: Any) -> list[Gaussian]:
    """The Gaussians of a normal distribution, or of a batch of them; none for other families."""
    known = _torch().distributions
    if type(family) is known.MultivariateNormal:
        means, spreads = _array(family.loc), _array(family.covariance_matrix)
    else:
        base = family.base_dist if type(family) is known.Independent else family
        if type(base) is not known.Normal:
            return []
        means, spreads = _array(base.loc), _array(base.scale) ** 2
    if not tuple(family.batch_shape):
        return [Gaussian(means, spreads)]
    return [Gaussian(mean, spread) for mean, spread in zip(means, spreads, strict=True)]


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _torch() -> Any:
    import torch

    return torch
