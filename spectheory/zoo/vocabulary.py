"""Tokens that are in the running though they should not be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.distributions import descending, top_k
from spectheory.zoo.cases import language_pair
from spectheory.zoo.processors import ParameterIgnored


@dataclass(frozen=True)
class PaddedVocabulary(ParameterIgnored):
    """Rows that only pad the vocabulary have logit 0 instead of minus infinity.

    The padding is the run of tokens of probability 0 at the end of the target; without one the
    step is right.

    Attributes:
        depth: nats by which a logit of 0 lies below the largest logit.
    """

    key = "padded_vocabulary"
    mechanism = "logits of rows that pad the vocabulary are zero, not minus infinity"
    sources = (
        "https://github.com/vllm-project/vllm/pull/42775",
        "https://github.com/vllm-project/vllm/issues/7252",
    )

    depth: float = 9.0

    def unprocessed(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        padded = target.copy()
        padded[np.flatnonzero(target)[-1] + 1 :] = target.max() * np.exp(-self.depth)
        return padded / padded.sum()

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        """50,257 tokens padded to a multiple of 128."""
        pad = -language_pair()[0].size % 128
        target, draft = (np.append(law, np.zeros(pad)) for law in language_pair())
        return target, draft


@dataclass(frozen=True)
class TopKTies(ParameterIgnored):
    """Top-k compares values with the k-th largest, and so keeps all that tie with it.

    The tied tokens are the draft's most probable ones outside the target's support; if there are
    none the step is right.

    Attributes:
        k: tokens to keep.
        ties: how many more are kept.
    """

    key = "top_k_ties"
    mechanism = "top-k by value keeps every token that ties with the k-th, not k of them"
    sources = ("https://github.com/flashinfer-ai/flashinfer/pull/3774",)

    k: int = 50
    ties: int = 3

    def unprocessed(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        outside = descending(np.where(target > 0, 0.0, draft))[: self.ties]
        tied = target.copy()
        tied[outside[target[outside] == 0]] = target[target > 0].min()
        return tied / tied.sum()

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = language_pair()
        return np.asarray(top_k(target, self.k)), draft
