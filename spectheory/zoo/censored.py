"""A sampled draft that is dropped because of what it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import capped_ratio
from spectheory.audit.sampler import Draws, categorical
from spectheory.distributions import residual
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import ZooEntry


@dataclass(frozen=True)
class CensoredDrafts(ZooEntry):
    """A draft whose own probability is low is thrown away; the target then samples as if undrafted.

    A kept draft is verified as usual, so the law is ``min(p, q) + c r`` over the kept tokens plus
    the dropped mass times p, with ``c`` the kept part of ``sum (q - p)_+`` and r the residual.
    Dropping is harmless if it depends on the draft law only, or if drafts are deterministic.
    Mended, the draft is dropped when the *largest* draft probability is low.

    Attributes:
        confidence: drafts of lower probability are dropped.
    """

    key = "censored_drafts"
    mechanism = "a sampled draft is dropped when its own draft probability is low"
    sources = (
        "https://github.com/ikawrakow/ik_llama.cpp/pull/1820",
        "https://github.com/ggml-org/llama.cpp/pull/22506",
    )

    confidence: float = 0.01

    def kept(self, draft: np.ndarray) -> np.ndarray:
        """``(V,)`` bool, which drafts are verified."""
        if self.mended:
            return np.full(draft.shape, draft.max() >= self.confidence)
        return draft >= self.confidence

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        return float(np.minimum(target, draft) @ self.kept(draft))

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        kept = self.kept(draft)
        rejected = float(np.maximum(draft - target, 0) @ kept)
        dropped = float(draft @ ~kept)
        after = rejected * np.asarray(residual(target, draft)) + dropped * target
        return np.minimum(target, draft) * kept + after

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        tokens = categorical(draft, rng.random(n))
        kept = self.kept(draft)[tokens]
        accept = np.asarray(capped_ratio(target, draft))
        accepted = kept & (rng.random(n) < accept[tokens])
        rejected = kept & ~accepted
        tokens[rejected] = categorical(residual(target, draft), rng.random(rejected.sum()))
        tokens[~kept] = categorical(target, rng.random((~kept).sum()))
        return Draws(tokens, accepted)

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair()
