"""Thinning: with ``p <= M q``, a draft stands with probability ``p / (M q)``."""

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
)
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.errors import InputError


@dataclass(frozen=True)
class ThinningCoupling(DraftedCoupling):
    """Accept each draft with probability ``p / (M q)``, ``M >= sup p / q``; else draw the target.

    Accepted or not, a draft leaves the law of the output as it is, so any number of drafts may be
    tried: acceptance ``1 - (1 - 1/M)^k``. With one draft that is ``1/M``, at most the overlap, as
    ``min(p, q) >= p / M``. No residual, hence no loop: a rejection costs one draw of the target.

    Args:
        log_bound: log M; None takes the supremum from the law of the ratio.

    Raises:
        InputError: a ``log_bound`` that is negative, not finite, or below a supremum that is known;
            a draft whose log ratio is above it.

    Reference: devroye1986nonuniform.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian(0.0), Gaussian(0.0, 4.0))
    >>> ThinningCoupling().acceptance(pair)
    0.5
    """

    key: ClassVar[str] = "thinning"
    reference: ClassVar[str] = "devroye1986nonuniform"
    most_drafts: ClassVar[int | None] = None

    log_bound: float | None = None

    def __post_init__(self) -> None:
        if self.log_bound is not None and not 0 <= self.log_bound < math.inf:
            raise InputError(f"`log_bound` is {self.log_bound}; expected a finite number >= 0")

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        if self.log_bound is not None:
            return ""
        if needs_ratio_law(pair):
            return "no bound on its ratio is known; pass `log_bound`"
        return "" if math.isfinite(self._bound(pair)) else "its ratio has no bound"

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        n, k, _ = drafts.shape
        logs, bound = log_ratios(pair, drafts), self._bound(pair)
        if float(logs.max(initial=-np.inf)) > bound + 1e-9:
            raise InputError(
                f"a draft has log ratio {logs.max():.9g}, above `log_bound` {bound:.9g}; the "
                "target is not dominated as said"
            )
        slot = first_accepted(np.exp(np.minimum(logs - bound, 0.0)), rng)
        sample = drafts[np.arange(n), np.minimum(slot, k - 1)]
        fallen = slot == k
        sample[fallen] = pair.target.sample(int(fallen.sum()), rng)
        return Coupled(sample, slot, fallen.astype(np.int64), drafts)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        one = math.exp(-self._bound(pair))
        return -math.expm1(k * math.log1p(-one)) if one < 1 else 1.0

    def _bound(self, pair: ContinuousPair) -> float:
        if self.log_bound is not None and needs_ratio_law(pair):
            return self.log_bound
        supremum = ratio_law(pair).log_supremum()
        if self.log_bound is None:
            return supremum
        if self.log_bound < supremum - 1e-9:
            raise InputError(
                f"`log_bound` is {self.log_bound:.9g}, below the supremum {supremum:.9g} of the "
                "log ratio"
            )
        return self.log_bound
