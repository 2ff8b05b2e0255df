"""Shared noise: the target is run on the draft's own noise, up to the last m steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path
from spectheory.continuous.path_rule import Examination, PathRule
from spectheory.continuous.path_segment import examine_segment


@dataclass(frozen=True)
class SharedNoise(PathRule):
    """Run the target on the draft's noise to x_m, test the last m steps; law-lossless.

    Accept with ``min(1, p(x_0..x_{m-1} | x_m^p) / q(x_0..x_{m-1} | x_m^q))``. Acceptance
    ``E[1 - TV]`` over the shared noise. With m = 1 this is the aligned criterion of the source
    without its variance factor, and the residual is drawn on the same noise: a fresh noise there
    would break exactness. With m = T it is `SamePath`.

    Attributes:
        last: m.

    Reference: wang2024continuous for the alignment; the factor is left out, see `CSpDPublished`.

    >>> from spectheory.continuous.path_chain import LinearChain
    >>> chain = LinearChain(np.array([0.5, 0.9]), np.zeros(2), np.ones(2))
    >>> bool(SharedNoise().draw(chain, chain, 5, np.random.default_rng(0)).accepted.all())
    True
    """

    reference: ClassVar[str] = "wang2024continuous"
    last: int = 1

    @property
    def key(self) -> str:
        return "shared_noise" if self.last == 1 else f"shared_noise_last_{self.last}"

    @classmethod
    def examples(cls) -> Iterator[SharedNoise]:
        yield cls()
        yield cls(last=2)

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        return examine_segment(target, draft, path, path.noise, self.last, rng)
