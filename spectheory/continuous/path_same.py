"""Same path: the whole drafted path is tested, state by state, against the target chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path
from spectheory.continuous.path_rule import Examination, PathRule
from spectheory.continuous.path_segment import examine_segment


@dataclass(frozen=True)
class SamePath(PathRule):
    """Accept with ``min(1, prod_t p(x_{t-1} | x_t) / q(x_{t-1} | x_t))``; law-lossless.

    Acceptance 1 - TV of the two path laws; the target's T calls on a drafted path are independent
    of each other. Neither above nor below `SharedNoise` in general.

    Reference: wang2024continuous.
    """

    reference: ClassVar[str] = "wang2024continuous"

    @property
    def key(self) -> str:
        return "same_path"

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        return examine_segment(target, draft, path, path.noise, target.steps, rng)
