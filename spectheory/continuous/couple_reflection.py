"""Reflection: Gaussians with one covariance, a rejected draft mirrored into the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.coupling import Coupled, DraftedCoupling, first_accepted
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.overlap import exact_overlap
from spectheory.continuous.pair import ContinuousPair


@dataclass(frozen=True)
class ReflectionCoupling(DraftedCoupling):
    """Accept with ``min(1, p / q)``; else mirror the draft's noise across the mean shift.

    With z the draft's noise and delta the shift in standard coordinates, the output of a rejected
    draft is the target's mean plus ``z - 2 <z, e> e``, ``e = delta / |delta|``: an exact draw of
    the residual without a loop. Maximal, acceptance ``2 Phi(-|delta| / 2)``; needs no target
    density but its mean.

    Reference: lindvall2002lectures; debortoli2025accelerated.

    >>> pair = ContinuousPair(Gaussian([1.0, 0.0]), Gaussian([0.0, 0.0]))
    >>> ReflectionCoupling().acceptance(pair)
    0.617075077
    """

    key: ClassVar[str] = "reflection"
    reference: ClassVar[str] = "debortoli2025accelerated"

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        return needs_one_covariance(pair)

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        target, _, shift = standard_shift(pair)
        noise = standard_noise(pair, drafts)
        along = noise @ shift
        squared = float(shift @ shift)
        slot = first_accepted(np.exp(np.minimum(along - squared / 2, 0.0))[:, None], rng)
        sample = drafts[:, 0].copy()
        fallen = slot == 1
        mirrored = noise[fallen] - np.outer(2 * along[fallen] / (squared or 1.0), shift)
        sample[fallen] = target.unstandardised(mirrored)
        return Coupled(sample, slot, np.zeros(len(slot), dtype=np.int64), drafts)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return exact_overlap(pair).value


def needs_one_covariance(pair: ContinuousPair) -> str:
    """The refusal of a coupling that is for Gaussians with one covariance."""
    target, draft = pair.target, pair.draft
    if not (isinstance(target, Gaussian) and isinstance(draft, Gaussian)):
        return "it is for two Gaussians"
    same = np.array_equal(target.variances, draft.variances) and (
        target.covariance is draft.covariance is None
        or (
            target.covariance is not None
            and draft.covariance is not None
            and np.array_equal(target.covariance, draft.covariance)
        )
    )
    return "" if same else "it is for Gaussians with one covariance, and these differ"


def standard_shift(pair: ContinuousPair) -> tuple[Gaussian, Gaussian, np.ndarray]:
    """Target, draft, and ``(d,)`` target mean in coordinates where the draft is ``N(0, I)``."""
    target, draft = pair.target, pair.draft
    assert isinstance(target, Gaussian)
    assert isinstance(draft, Gaussian)
    return target, draft, draft.standardised(target.mean[None, :])[0]


def standard_noise(pair: ContinuousPair, drafts: np.ndarray) -> np.ndarray:
    """``(n, d)`` noise of ``(n, 1, d)`` drafts."""
    _, draft, _ = standard_shift(pair)
    return draft.standardised(drafts[:, 0])
