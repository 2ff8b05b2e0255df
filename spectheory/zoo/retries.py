"""A draft is compared with more target samples than one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.audit.sampler import Draws, categorical
from spectheory.distributions import from_logits
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import ZooEntry


@dataclass(frozen=True)
class IndependentRetries(ZooEntry):
    """Candidate rows that share a token each compare it with a target sample of their own.

    The token x passes with probability ``1 - (1 - p(x))**m``; if it does not, a new sample is
    drawn. Mended, all rows share one sample, which is also the output.

    Attributes:
        rows: m.
    """

    key = "independent_retries"
    mechanism = "rows that share a draft token each test it against a fresh target sample"
    sources = (
        "https://github.com/FasterDecoding/Medusa/issues/39",
        "https://github.com/FasterDecoding/Medusa/blob/main/medusa/model/utils.py",
    )

    rows: int = 4

    def _mode(self, draft: np.ndarray) -> int:
        return int(np.argmax(draft))

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        mass = float(target[self._mode(draft)])
        return mass if self.mended else 1 - (1 - mass) ** self.rows

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        if self.mended:
            return target
        passes = self.acceptance(target, draft)
        return passes * np.asarray(from_logits(draft, temperature=0)) + (1 - passes) * target

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        mode = self._mode(draft)
        if self.mended:
            tokens = categorical(target, rng.random(n))
            return Draws(tokens, tokens == mode)
        samples = categorical(target, rng.random((self.rows, n)))
        accepted = (samples == mode).any(axis=0)
        return Draws(np.where(accepted, mode, categorical(target, rng.random(n))), accepted)

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair()


@dataclass(frozen=True)
class MismatchRedrawn(ZooEntry):
    """A sampled draft is compared with a target sample; on a mismatch a second one is drawn.

    The law is ``p q + (1 - sum p q) p``. Mended, the first target sample is the output either way.
    """

    key = "mismatch_redrawn"
    mechanism = "a target sample that differs from the draft is thrown away and drawn again"
    sources = ("https://github.com/ml-explore/mlx-swift-lm/pull/459",)

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        return float(target @ draft)

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        if self.mended:
            return target
        return target * draft + (1 - self.acceptance(target, draft)) * target

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        drafts = categorical(draft, rng.random(n))
        samples = categorical(target, rng.random(n))
        accepted = drafts == samples
        if self.mended:
            return Draws(samples, accepted)
        again = categorical(target, rng.random(n))
        return Draws(np.where(accepted, samples, again), accepted)

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair()
