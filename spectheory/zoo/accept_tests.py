"""The accept test does not compare a fresh uniform with p / q."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import ratio
from spectheory.zoo.single_draft import SingleDraft


@dataclass(frozen=True)
class UniformZero(SingleDraft):
    """``u = 0`` passes every test: the output law is the draft's."""

    key = "uniform_zero"
    mechanism = "the accept uniform is hard-coded to 0, so every draft is accepted"
    sources = (
        "https://github.com/vllm-project/vllm-ascend/issues/13730",
        "https://github.com/huggingface/transformers/pull/28508",
    )

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.ones_like(target)


@dataclass(frozen=True)
class RatioThreshold(SingleDraft):
    """Accept exactly when ``p / q`` reaches a constant; a setting documented as lossy.

    Attributes:
        threshold: the constant.
    """

    key = "ratio_threshold"
    mechanism = "a draft is accepted when p/q reaches a constant that stands in for the uniform"
    sources = (
        "https://github.com/NVIDIA/TensorRT-LLM/blob/main/cpp/tensorrt_llm/kernels/"
        "speculativeDecoding/externalDraftTokensKernels.cu",
    )

    threshold: float = 0.5

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return (ratio(target, draft) >= self.threshold).astype(np.float64)
