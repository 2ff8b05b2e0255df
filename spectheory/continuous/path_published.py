"""Continuous speculative decoding as published: the shared-noise ratio times a variance factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path
from spectheory.continuous.path_rule import Examination, PathRule
from spectheory.continuous.path_segment import examine_segment


@dataclass(frozen=True)
class CSpDPublished(PathRule):
    """Accept with ``min(1, f p(x_0 | x_1^p) / q(x_0 | x_1^q))``, residual ``(f p - q)_+``; lossy.

    The factor is ``f = prod_{t=2}^T |s_t^q| / |s_t^p|``, |s| the product over coordinates. It is
    the Jacobian between two maps from noise to states, not a ratio of laws: given the noise, both
    laws of x_0 are what they are, and only f = 1 outputs the target's. So the rule is law-lossless
    where the variances come from a schedule both models share (f = 1), and otherwise biased given
    the noise by `factor_bias`. With f < 1 the residual can be empty, which is raised.

    Attributes:
        aligned: run the target on the draft's noise; else on noise of its own.
        most_proposals: see `redraw`.

    Reference: wang2024continuous.
    """

    reference: ClassVar[str] = "wang2024continuous"
    lossless: ClassVar[bool] = False
    exact_for_shared_variances: ClassVar[bool] = True
    aligned: bool = True
    most_proposals: int = 100_000

    @property
    def key(self) -> str:
        return "cspd_published" if self.aligned else "cspd_published_unaligned"

    @classmethod
    def examples(cls) -> Iterator[CSpDPublished]:
        yield cls()
        yield cls(aligned=False)

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        noise = path.noise if self.aligned else target.tape(len(path.noise), rng)
        factor = log_variance_factor(target, draft, path, noise)
        return examine_segment(target, draft, path, noise, 1, rng, factor, self.most_proposals)


def log_variance_factor(
    target: DenoisingChain, draft: DenoisingChain, path: Path, noise: np.ndarray
) -> np.ndarray:
    """``(n,)``: ``log prod_{t=2}^T |s_t^q| / |s_t^p|`` along the two runs; 0 for shared variances.

    Args:
        target: chain that runs on ``noise``.
        draft: chain that ran ``path``.
        path: the draft's path.
        noise: ``(n, T + 1, d)``.
    """
    states = target.run(noise, stop=1)
    log_factor = np.zeros(len(states))
    for t in range(2, target.steps + 1):
        log_factor += draft.kernel(t, path.states[:, t]).log_volume()
        log_factor -= target.kernel(t, states[:, t - 1]).log_volume()
    return log_factor
