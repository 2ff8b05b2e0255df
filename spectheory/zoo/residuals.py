"""The law after a rejection is not (p - q)_+."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.distributions import normalise, top_k
from spectheory.zoo.cases import language_pair
from spectheory.zoo.single_draft import SingleDraft


@dataclass(frozen=True)
class ResidualIsTarget(SingleDraft):
    """After a rejection a fresh draw from p, as if nothing had been tried."""

    key = "residual_is_target"
    mechanism = "after a rejection the token is drawn from p instead of (p - q)+"
    sources = ("https://github.com/ShopeeLLM/Spec-RL/issues/14",)

    def residual(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return target


@dataclass(frozen=True)
class ResidualMisaligned(SingleDraft):
    """Two truncated candidate lists, sorted by token, are subtracted place by place.

    Place i of one list is not the token at place i of the other once the lists differ. Without
    truncation the lists agree and the step is right.

    Attributes:
        k: candidates that each model keeps, in the case shown.
    """

    key = "residual_misaligned"
    mechanism = "p and q are lists of candidates, subtracted by place instead of by token"
    sources = (
        "https://github.com/ggml-org/llama.cpp/pull/5625",
        "https://github.com/ggml-org/llama.cpp/blob/master/examples/speculative/speculative.cpp",
    )

    k: int = 40

    def residual(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        tokens, others = np.flatnonzero(target), np.flatnonzero(draft)
        subtracted = np.zeros(len(tokens))
        subtracted[: len(others)] = draft[others][: len(tokens)]
        left = np.zeros_like(target)
        left[tokens] = np.maximum(target[tokens] - subtracted, 0)
        return np.asarray(normalise(left, fallback=target))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = (np.asarray(top_k(law, self.k)) for law in language_pair())
        return target, draft
