"""Thresholds that make a tree verifier accept more than the target's mass; documented as lossy."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from spectheory.audit.sampler import Draws, categorical
from spectheory.distributions import descending, normalise
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import ZooEntry

SOURCES = (
    "https://github.com/sgl-project/sglang/blob/main/sgl-kernel/csrc/speculative/"
    "speculative_sampling.cuh",
)


@dataclass(frozen=True)
class SiblingWalk(ZooEntry):
    """The top drafts are walked with one coin against the running sum of their target mass.

    Sibling i is taken when ``coin < level_i``; with levels ``S_i = p(x_1) + .. + p(x_i)`` the law
    is the target's. If none is taken, the token is drawn from p without the siblings.

    Attributes:
        siblings: how many of the draft's top tokens are walked.
    """

    siblings: int = 4

    @abstractmethod
    def levels(self, masses: np.ndarray) -> np.ndarray:
        """``(m,)`` non-decreasing levels, from the siblings' target masses."""

    def parts(
        self, target: np.ndarray, draft: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The siblings, their levels and the law if none is taken."""
        tokens = descending(draft)[: self.siblings]
        masses = target[tokens]
        levels = np.cumsum(masses) if self.mended else self.levels(masses)
        left = target.copy()
        left[tokens] = 0
        return tokens, np.minimum(levels, 1.0), np.asarray(normalise(left, fallback=target))

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        tokens, levels, left = self.parts(target, draft)
        law = (1 - levels[-1]) * left
        law[tokens] += np.diff(levels, prepend=0.0)
        return law

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        return float(self.parts(target, draft)[1][-1])

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        tokens, levels, left = self.parts(target, draft)
        place = np.searchsorted(levels, rng.random(n), side="right")
        accepted = place < len(levels)
        out = categorical(left, rng.random(n))
        out[accepted] = tokens[place[accepted]]
        return Draws(out, accepted)

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair()


@dataclass(frozen=True)
class ThresholdAll(SiblingWalk):
    """The running sum is divided by a threshold before the coin is compared with it.

    Attributes:
        threshold: the setting; 1 is lossless.
    """

    key = "threshold_acc"
    mechanism = "the coin is compared with the running mass divided by a threshold below 1"
    sources = SOURCES

    threshold: float = 0.9

    def levels(self, masses: np.ndarray) -> np.ndarray:
        return np.cumsum(masses) / self.threshold


@dataclass(frozen=True)
class ThresholdSingle(SiblingWalk):
    """A sibling whose target probability reaches a threshold is taken whatever the coin.

    Attributes:
        threshold: the setting; 1 is lossless.
    """

    key = "threshold_single"
    mechanism = "a draft whose target probability reaches a threshold below 1 is always accepted"
    sources = SOURCES

    threshold: float = 0.3

    def levels(self, masses: np.ndarray) -> np.ndarray:
        sure = np.maximum.accumulate(masses >= self.threshold)
        return np.where(sure, 1.0, np.cumsum(masses))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair(entropy=2.0)
