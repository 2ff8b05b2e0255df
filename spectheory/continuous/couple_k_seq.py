"""K-SEQ for densities: i.i.d. drafts in turn, against a slowed-down ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.coupling import (
    Coupled,
    DraftedCoupling,
    first_accepted,
    log_ratios,
    needs_ratio_law,
    replaced,
)
from spectheory.continuous.multi_draft import ladder_k_seq, slow_down
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair


@dataclass(frozen=True)
class KSeqCoupling(DraftedCoupling):
    """Accept each draft in turn with probability ``min(1, p / (rho q))``, rho as small as lossless.

    Reference: sun2023spectr, Algorithm 2 and Theorem 2.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> KSeqCoupling().acceptance(ContinuousPair(Gaussian(1.0), Gaussian(0.0)), 4)
    0.839246
    """

    key: ClassVar[str] = "k_seq"
    reference: ClassVar[str] = "sun2023spectr"
    most_drafts: ClassVar[int | None] = None

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        return needs_ratio_law(pair)

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        k = drafts.shape[1]
        rho, beta = slow_down(ratio_law(pair), k)
        log_rho = math.log(rho)
        accepted = -math.expm1(k * math.log1p(-beta)) if beta < 1 else 1.0
        each = accepted / beta if beta > 0 else k  # the limit, where no draft is ever accepted
        chance = np.exp(np.minimum(log_ratios(pair, drafts) - log_rho, 0.0))

        def log_kept(log_r: np.ndarray) -> np.ndarray:
            # m = min(p / rho, q) (1 - (1 - beta)^k) / beta
            return np.maximum(log_rho, log_r) - math.log(each)

        return replaced(pair, drafts, first_accepted(chance, rng), log_kept, rng)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return ladder_k_seq(ratio_law(pair), k)
