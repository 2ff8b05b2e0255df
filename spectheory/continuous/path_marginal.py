"""Marginal: the ideal rule, for chains whose law of x_0 is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, LinearChain, Path
from spectheory.continuous.path_residual import redraw
from spectheory.continuous.path_rule import Examination, PathRule, below
from spectheory.errors import InputError


@dataclass(frozen=True)
class Marginal(PathRule):
    """Accept with ``min(1, p(x_0) / q(x_0))``; law-lossless, and no rule accepts more.

    The densities of x_0 integrate over all paths; only `LinearChain` has them.

    Reference: leviathan2023fast.
    """

    reference: ClassVar[str] = "leviathan2023fast"
    needs_marginals: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return "marginal"

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        if not (isinstance(target, LinearChain) and isinstance(draft, LinearChain)):
            raise InputError(
                "rule `marginal` needs the densities of x_0, which only linear chains know; for a "
                "network use `shared_noise` or `same_path`"
            )
        above, under = target.marginal(len(path.states)), draft.marginal(len(path.states))

        def propose(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = above.rows(rows).at(rng.standard_normal((len(rows), target.dimension)))
            return x, above.rows(rows).log_density(x) - under.rows(rows).log_density(x)

        log_ratio = above.log_density(path.sample) - under.log_density(path.sample)
        return Examination(
            below(log_ratio, rng),
            log_ratio,
            lambda rows: redraw(propose, rows, target.dimension, rng),
        )
