"""core-deepinfer: greedy verification of a chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.adapters.chain import GreedyDrafts, Outcome


@dataclass(frozen=True)
class CoreDeepinfer(GreedyDrafts):
    """``verify_greedy``: greedy-lossless, so the target under audit is a one-hot law."""

    distribution: ClassVar[str] = "core-deepinfer"
    tested: ClassVar[tuple[str, ...]] = ("0.1.0",)
    reference: ClassVar[str] = "https://pypi.org/project/core-deepinfer/"

    @property
    def key(self) -> str:
        return "core-deepinfer"

    @property
    def calls(self) -> str:
        return "core_deepinfer.speculative.verify_greedy"

    @property
    def claim(self) -> str:
        return "greedy-lossless"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        function = self.load("core_deepinfer.speculative").verify_greedy
        found = [
            # It refuses -inf; the largest probability is the largest logit.
            function(laws, [int(token) for token in chain])
            for laws, chain in zip(target, drafts, strict=True)
        ]
        return Outcome(
            np.array([one.accepted for one in found]), np.array([one.tokens[-1] for one in found])
        )
