"""The declared draft law q is not the law that the drafts come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.distributions import from_logits, top_k
from spectheory.zoo.cases import language_pair
from spectheory.zoo.single_draft import SingleDraft


@dataclass(frozen=True)
class GreedyDraftSoftQ(SingleDraft):
    """The draft is the mode of q, verified as if it had been drawn from q."""

    key = "greedy_draft_soft_q"
    mechanism = "drafts are the draft model's mode, but are verified with its soft law as q"
    sources = (
        "https://github.com/huggingface/transformers/issues/32867",
        "https://github.com/apple/ml-recurrent-drafter/issues/6",
        "https://github.com/jaymody/speculative-sampling/issues/3",
    )

    def drafted(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(from_logits(draft, temperature=0))


@dataclass(frozen=True)
class RawQ(SingleDraft):
    """Drafts are drawn after top-k, but q is the softmax of the raw logits.

    Attributes:
        k: tokens that the drafter keeps.
    """

    key = "raw_q"
    mechanism = "drafts are drawn after top-k, but q is returned from before it"
    sources = ("https://github.com/huggingface/transformers/issues/47932",)

    k: int = 50

    def drafted(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(top_k(draft, self.k))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = language_pair()
        return np.asarray(top_k(target, self.k)), draft


@dataclass(frozen=True)
class BfloatDrafts(SingleDraft):
    """Drafts are drawn from the softmax of bfloat16 logits; q is the float32 softmax."""

    key = "bfloat_drafts"
    mechanism = "drafts are drawn from bfloat16 logits, but verified with the float32 law as q"
    sources = ("https://github.com/deepseek-ai/DeepSpec/issues/31",)

    def drafted(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            logits = np.log(draft)
        return np.asarray(from_logits(round_to_bfloat(logits)))


def round_to_bfloat(values: np.ndarray) -> np.ndarray:
    """``values`` rounded to nearest, ties to even, at the 8 significant bits of bfloat16.

    >>> round_to_bfloat(np.array([1.0, 1.001, -9.87])).tolist()
    [1.0, 1.0, -9.875]
    """
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(
        0xFFFF0000
    )
    finite = np.isfinite(values)
    return np.where(finite, rounded.view(np.float32), values).astype(np.float64)
