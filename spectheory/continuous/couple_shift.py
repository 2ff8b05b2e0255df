"""One-dimensional residual: Gaussians with one covariance, only the shifted coordinate redrawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from spectheory.continuous.couple_reflection import (
    needs_one_covariance,
    standard_noise,
    standard_shift,
)
from spectheory.continuous.coupling import Coupled, DraftedCoupling, first_accepted
from spectheory.continuous.overlap import exact_overlap
from spectheory.continuous.pair import ContinuousPair


@dataclass(frozen=True)
class ShiftCoupling(DraftedCoupling):
    """Accept with ``min(1, p / q)``; else redraw the coordinate along the mean shift only.

    In coordinates where the draft is ``N(0, I)``, the residual is a product: along the shift its
    density is ``(phi(s - delta) - phi(s)) / TV`` on ``s > delta / 2``, inverted here, and across it
    the draft's own coordinates stay. Maximal, without a loop, and unlike `reflection` the redrawn
    coordinate is independent of the draft.

    Reference: debortoli2025accelerated.

    >>> from spectheory.continuous.gaussian import Gaussian
    >>> pair = ContinuousPair(Gaussian([3.0, 0.0]), Gaussian([0.0, 0.0]))
    >>> drawn = ShiftCoupling().draw(pair, 5, np.random.default_rng(1))
    >>> bool((drawn.sample[:, 1] == drawn.drafts[:, 0, 1]).all())
    True
    """

    key: ClassVar[str] = "shift"
    reference: ClassVar[str] = "debortoli2025accelerated"

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        return needs_one_covariance(pair)

    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        _, draft, shift = standard_shift(pair)
        distance = float(np.linalg.norm(shift))
        axis = shift / (distance or 1.0)
        noise = standard_noise(pair, drafts)
        along = noise @ axis
        chance = np.exp(np.minimum(distance * along - distance**2 / 2, 0.0))
        slot = first_accepted(chance[:, None], rng)
        sample = drafts[:, 0].copy()
        fallen = slot == 1
        fresh = residual_coordinate(distance, rng.random(int(fallen.sum())))
        moved = noise[fallen] + np.outer(fresh - along[fallen], axis)
        sample[fallen] = draft.unstandardised(moved)
        return Coupled(sample, slot, np.zeros(len(slot), dtype=np.int64), drafts)

    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        return exact_overlap(pair).value


def residual_coordinate(distance: float, uniforms: np.ndarray) -> np.ndarray:
    """Draws with density ``(phi(s - delta) - phi(s)) / TV`` on ``s > delta / 2``, by inversion.

    >>> residual_coordinate(2.0, np.array([1.0, 0.5])).round(4).tolist()
    [1.0, 2.3857]
    """
    goal = uniforms * (ndtr(distance / 2) - ndtr(-distance / 2))
    low = np.full_like(uniforms, distance / 2)
    high = np.full_like(uniforms, distance + 40.0)
    for _ in range(64):
        middle = 0.5 * (low + high)
        above = ndtr(distance - middle) - ndtr(-middle) > goal
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return 0.5 * (low + high)
