"""Independent paths: the target is run on noise of its own; what alignment is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path
from spectheory.continuous.path_rule import Examination, PathRule
from spectheory.continuous.path_segment import examine_segment


@dataclass(frozen=True)
class IndependentPaths(PathRule):
    """Run the target to x_1 on fresh noise, test the last step; law-lossless.

    Accept with ``min(1, p(x_0 | x_1^p) / q(x_0 | x_1^q))``; the residual keeps both noises.

    Reference: wang2024continuous.
    """

    reference: ClassVar[str] = "wang2024continuous"

    @property
    def key(self) -> str:
        return "independent_paths"

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        return examine_segment(target, draft, path, target.tape(len(path.noise), rng), 1, rng)
