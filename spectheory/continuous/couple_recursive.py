"""Recursive rejection for densities: each draft against what the ones before have left."""

from __future__ import annotations

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
from spectheory.continuous.multi_draft import ladder_recursive, recursion
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair


@dataclass(frozen=True)
class RecursiveCoupling(DraftedCoupling):
    """Accept draft i with ``min(1, (r - lambda_i)_+ / G_i)``; lambda and G from those before it.

    After i failures the residual is ``(p - lambda_i q)_+`` with mass G_i. The drafts are to come in
    the order drawn: sorted by their ratio, they are no longer draws of q and the output is biased.

    Reference: jeon2024recursive.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> RecursiveCoupling().acceptance(ContinuousPair(Gaussian(1.0), Gaussian(0.0)), 4)
    0.797811
    """

    key: ClassVar[str] = "recursive"
    reference: ClassVar[str] = "jeon2024recursive"
    most_drafts: ClassVar[int | None] = None

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        return needs_ratio_law(pair)

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        levels, left = recursion(ratio_law(pair), drafts.shape[1])
        with np.errstate(over="ignore"):
            ratios = np.exp(log_ratios(pair, drafts))
        rest = np.where(left[:-1] > 0, left[:-1], 1.0)
        chance = np.minimum(np.maximum(ratios - levels[:-1], 0.0) / rest, 1.0)
        slot = first_accepted(chance, rng)
        return replaced(pair, drafts, slot, lambda log_r: log_r - np.log(levels[-1]), rng)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return ladder_recursive(ratio_law(pair), k)
