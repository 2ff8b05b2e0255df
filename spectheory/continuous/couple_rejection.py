"""Speculative sampling of densities: accept with min(1, p/q), else draw the residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.coupling import (
    Coupled,
    DraftedCoupling,
    first_accepted,
    log_ratios,
    replaced,
)
from spectheory.continuous.overlap import exact_overlap
from spectheory.continuous.pair import ContinuousPair


@dataclass(frozen=True)
class RejectionCoupling(DraftedCoupling):
    """Accept a draft with probability ``min(1, p / q)``; else draw ``(p - q)_+`` by rejection.

    Maximal: acceptance a = 1 - TV. A rejected draft costs a geometric number of proposals from p,
    ``1 / (1 - a)`` on average; over all drafts the proposals have mean 1 and variance
    ``2 a / (1 - a)``, so better drafts make rarer but longer loops.

    Reference: leviathan2023fast.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian(1.0), Gaussian(0.0))
    >>> RejectionCoupling().acceptance(pair)
    0.617075077
    >>> drawn = RejectionCoupling().draw(pair, 1000, np.random.default_rng(0))
    >>> bool((drawn.sample[drawn.accepted] == drawn.drafts[drawn.accepted, 0]).all())
    True
    """

    key: ClassVar[str] = "rejection"
    reference: ClassVar[str] = "leviathan2023fast"

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        chance = np.exp(np.minimum(log_ratios(pair, drafts), 0.0))
        return replaced(pair, drafts, first_accepted(chance, rng), lambda log_r: log_r, rng)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return exact_overlap(pair).value
