"""Continuous speculative decoding as released: the rule that its authors' code runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path, draw_path
from spectheory.continuous.path_published import log_variance_factor
from spectheory.continuous.path_residual import Redraw, redraw
from spectheory.continuous.path_rule import Examination, PathRule, below


@dataclass(frozen=True)
class CSpDReleased(PathRule):
    """Accept by a tempered ratio at the draft's own mean; a heuristic, lossy.

    The draft adds no noise in its last step, so x_0 is the mean m_q, but is tested as if drawn
    from ``N(m_q, s_q^2)``. With ``f = prod_{t=2}^T |s_t^p| / |s_t^q|``, the inverse of the
    published factor, it is accepted with

        ``min(1, f |s_q| / |s_p| exp((|z_q|^2 - |z_p|^2) / (2 tau^2)))``,  z the standardised x_0.

    tau = 42 divides exponents by 1,764, so the two models' means hardly matter. A rejected draft is
    redrawn from ``N(m_p, s_p^2)``, noise that the target itself never adds, kept with
    ``(1 - q / (f p))_+`` without the temperature, and after 100 failures set to zero. Rejected
    tokens are replaced where they stand; later drafts stay: generate with ``truncate=False``.

    Attributes:
        temperature: tau.
        most_proposals: draws before a row is set to zero.
        noiseless: whether the draft's last step has no noise.

    Reference: wang2024continuous; code at https://github.com/MarkXCloud/CSpD, commit d91f721.
    """

    reference: ClassVar[str] = "wang2024continuous"
    lossless: ClassVar[bool] = False
    truncates: ClassVar[bool] = False
    temperature: float = 42.0
    most_proposals: int = 100
    noiseless: bool = True

    @property
    def key(self) -> str:
        return "cspd_released"

    def propose(self, draft: DenoisingChain, n: int, rng: np.random.Generator) -> Path:
        path = draw_path(draft, n, rng)
        if self.noiseless:
            path.states[:, 0] = draft.kernel(1, path.states[:, 1]).mean
        return path

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        above = target.kernel(1, target.run(path.noise, stop=1)[:, 0])
        under = draft.kernel(1, path.states[:, 1])
        inverse = -log_variance_factor(target, draft, path, path.noise)

        def log_ratio(rows: np.ndarray, x: np.ndarray, temperature: float) -> np.ndarray:
            p, q = above.rows(rows), under.rows(rows)
            volumes = q.log_volume() - p.log_volume()
            exponents = p.log_density(x) - q.log_density(x) - volumes
            return np.asarray(inverse[rows] + volumes + exponents / temperature**2)

        def propose(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = above.rows(rows).at(rng.standard_normal((len(rows), target.dimension)))
            return x, log_ratio(rows, x, 1.0)

        def replace(rows: np.ndarray) -> Redraw:
            return redraw(propose, rows, target.dimension, rng, self.most_proposals, give_up=True)

        found = log_ratio(np.arange(len(path.states)), path.sample, self.temperature)
        return Examination(below(found, rng), found, replace)
