"""Acceptance of path rules on linear Gaussian chains, against the noise of the last step.

Both chains go ``x_{t-1} = c_t x_t + s_t eps`` from x_T ~ N(0, 1); the last step adds ``floor``.
Every acceptance is exact: the laws of x_0 and of whole paths are Gaussian, and given the noise the
last step is a pair of Gaussians of one width whose distance is normal with variance v, where
``E[2 Phi(-|d| / (2 s))] = 1 - (2 / pi) atan(sqrt(v) / (2 s))``. Beside it the rules are run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.continuous.chain import linear_path
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.overlap import exact_overlap
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.path_chain import LinearChain
from spectheory.continuous.path_rule import path_rule

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The chains and how often the rules are run.

    Attributes:
        chains: (steps, multiplier of the target, of the draft) each.
        scale: noise of every step but the last.
        floors: noise of the last step.
        draws: runs a rule and floor.
        seed: of the draws.
    """

    chains: tuple[tuple[int, float, float], ...] = ((1, 1.0, 0.7), (20, 0.95, 0.92))
    scale: float = 0.2
    floors: tuple[float, ...] = (0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
    draws: int = 20_000
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns steps, floor, rule, acceptance (exact), measured, error (standard, of measured)."""
    import polars

    rng = np.random.default_rng(config.seed)
    rows = []
    for steps, target, draft in config.chains:
        for floor in config.floors:
            scale = np.array([floor] + [config.scale] * (steps - 1))
            chains = [
                LinearChain(np.full(steps, c), np.zeros(steps), scale) for c in (target, draft)
            ]
            for rule, exact in acceptances(steps, target, draft, scale):
                hits = path_rule(rule).draw(*chains, config.draws, rng).accepted
                error = math.sqrt(exact * (1 - exact) / config.draws)
                rows.append((steps, floor, rule, exact, float(hits.mean()), error))
    names = ["steps", "floor", "rule", "acceptance", "measured", "error"]
    return polars.DataFrame(rows, schema=names, orient="row")


def acceptances(
    steps: int, target: float, draft: float, scale: np.ndarray
) -> Iterator[tuple[str, float]]:
    """Key of each rule with its exact acceptance; ``scale`` starts with the last step's."""
    widths = scale[::-1].tolist()
    paths = [
        linear_path(Gaussian(0.0), [(c, 0.0, width**2) for width in widths])
        for c in (target, draft)
    ]
    yield "same_path", exact_overlap(ContinuousPair(*paths)).value
    outputs = [Gaussian(0.0, float(path.covariance[-1, -1])) for path in paths]
    yield "marginal", exact_overlap(ContinuousPair(*outputs)).value
    # Loadings of c x_1 on the start and on the noise of every step but the last.
    loadings = [
        np.array([c**steps] + [c ** (steps - i) * widths[i - 1] for i in range(1, steps)])
        for c in (target, draft)
    ]
    shared = float(np.sum((loadings[0] - loadings[1]) ** 2))
    apart = float(sum(np.sum(loading**2) for loading in loadings))
    for rule, variance in (("shared_noise", shared), ("independent_paths", apart)):
        yield rule, 1 - 2 / math.pi * math.atan(math.sqrt(variance) / (2 * scale[0]))
