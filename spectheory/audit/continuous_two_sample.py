"""Do two continuous samplers draw from one law? Sliced energy distance and kernel discrepancy.

Both see every difference as the draws grow, in any dimension. They work on pooled ranks,
coordinate by coordinate, so units and heavy tails do not matter; equality of laws is untouched by
that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from spectheory.audit.discrepancy import (
    Discrepancy,
    check_alpha,
    check_sample,
    quadratic_discrepancy,
)
from spectheory.errors import InputError, ShapeError

POOLED = 1_000
"""Pooled draws from which the eigenvalues of the null law are estimated."""

BLOCK = 16_384
"""Draws whose features are held in memory at once."""


def audit_energy(
    samples: Any,
    reference: Any,
    alpha: float = 1e-6,
    *,
    projections: int = 32,
    seed: int = 0,
) -> Discrepancy:
    """Test two samples by the energy distance, averaged over random projections.

    On one line the energy distance is ``2 int (F - G)^2 dt``; averaged over directions it is, up to
    a factor, the one of the whole space. One dimension needs no projection. Cost
    ``O(projections N log N)``.

    Args:
        samples: ``(n, d)`` or ``(n,)`` draws of the sampler.
        reference: ``(m, d)`` draws of the target.
        alpha: false-alarm rate; asymptotic in the number of draws.
        projections: directions on the sphere; ignored where d = 1.
        seed: of the directions.

    Raises:
        ShapeError, InputError: bad samples, or samples of different dimensions.

    Reference: szekely2013energy.

    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(2, 20_000, 2))
    >>> audit_energy(x, y).biased, audit_energy(1.2 * x, y).biased
    (False, True)
    """
    x, y = check_pair_of_samples(samples, reference, alpha)
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(x.shape[1], projections if x.shape[1] > 1 else 1))
    directions /= np.linalg.norm(directions, axis=0)
    squared = float(np.mean([line_energy(x @ u, y @ u) for u in directions.T]))
    pooled = _subsample(x, y, rng, POOLED) @ directions
    gram = -sum(np.abs(line[:, None] - line) for line in pooled.T) / directions.shape[1]
    return quadratic_discrepancy(
        "sliced energy distance",
        squared,
        centred_eigenvalues(gram),
        "root energy distance of pooled ranks",
        (len(x), len(y)),
        alpha,
    )


def line_energy(x: np.ndarray, y: np.ndarray) -> float:
    """Energy distance ``2 int (F - G)^2 dt`` of two samples on the line, exactly.

    >>> line_energy(np.array([0.0, 2.0]), np.array([1.0]))
    1.0
    """
    pooled = np.concatenate([x, y])
    order = np.argsort(pooled)
    steps = np.where(order < x.size, 1 / x.size, -1 / y.size)
    gaps = np.diff(pooled[order])
    return float(2 * (np.cumsum(steps)[:-1] ** 2 @ gaps))


def audit_mmd(
    samples: Any,
    reference: Any,
    alpha: float = 1e-6,
    *,
    features: int = 128,
    bandwidths: tuple[float, ...] = (0.1, 0.3, 1.0),
    seed: int = 0,
) -> Discrepancy:
    """Test two samples by the maximum mean discrepancy of Gaussian kernels, on random features.

    ``k(x, y) = mean_b exp(-|x - y|^2 / 2 b^2 d)`` on pooled ranks, approximated by ``features``
    random frequencies; the discrepancy of the features is itself one of a kernel bounded by 1, so
    half of it is at most the total variation. Cost ``O(features N d)``.

    Args:
        samples: ``(n, d)`` or ``(n,)`` draws of the sampler.
        reference: ``(m, d)`` draws of the target.
        alpha: false-alarm rate; asymptotic in the number of draws.
        features: random frequencies, a cosine and a sine each.
        bandwidths: b, in units of the cube's half-diagonal; each frequency draws one of them.
        seed: of the frequencies.

    Raises:
        ShapeError, InputError: bad samples, or samples of different dimensions.

    Reference: gretton2012kernel; rahimi2007random.

    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(2, 20_000, 2))
    >>> audit_mmd(x, y).biased, audit_mmd(x + [0.08, 0], y).biased
    (False, True)
    """
    x, y = check_pair_of_samples(samples, reference, alpha)
    rng = np.random.default_rng(seed)
    dimension = x.shape[1]
    widths = rng.choice(bandwidths, features) * np.sqrt(dimension)
    frequencies = rng.normal(size=(dimension, features)) / widths

    def embed(points: np.ndarray) -> np.ndarray:
        angles = points @ frequencies
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(features)

    means = [
        sum(embed(z[i : i + BLOCK]).sum(axis=0) for i in range(0, len(z), BLOCK)) / len(z)
        for z in (x, y)
    ]
    spread = np.cov(embed(_subsample(x, y, rng, 20 * features)), rowvar=False)
    return quadratic_discrepancy(
        "kernel discrepancy",
        float(((means[0] - means[1]) ** 2).sum()),
        np.clip(np.linalg.eigvalsh(spread), 0, None),
        "maximum mean discrepancy",
        (len(x), len(y)),
        alpha,
    )


def check_pair_of_samples(
    samples: Any, reference: Any, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Both samples as ``(n, d)`` pooled ranks in (0, 1), ties sharing the mean rank.

    Raises:
        ShapeError, InputError: as the tests above.
    """
    check_alpha(alpha)
    x, y = check_sample("samples", samples), check_sample("reference", reference)
    if x.shape[1] != y.shape[1]:
        raise ShapeError(
            f"`samples` has {x.shape[1]} coordinates and `reference` {y.shape[1]}; expected draws "
            "in one space"
        )
    pooled = np.concatenate([x, y])
    if (pooled == pooled[0]).all():
        raise InputError("every draw of `samples` and `reference` is the same point")
    ranks = rankdata(pooled, axis=0) / (len(pooled) + 1)
    return ranks[: len(x)], ranks[len(x) :]


def centred_eigenvalues(gram: np.ndarray) -> np.ndarray:
    """Eigenvalues of the centred kernel operator, from its matrix on m pooled points.

    Reference: gretton2009fast.
    """
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    return np.clip(np.linalg.eigvalsh(centred) / len(gram), 0, None)


def _subsample(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """At most ``size`` pooled points, half of each sample: a mixture, which the null makes one."""
    return np.concatenate([z[rng.permutation(len(z))[: size // 2]] for z in (x, y)])
