"""Sampled drafts treated as deterministic ones, whose law is one-hot: throughout, or by halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import ratio
from spectheory.audit.sampler import categorical
from spectheory.zoo.entry import Sight
from spectheory.zoo.single_draft import Parts, SingleDraft


@dataclass(frozen=True)
class OneHot(SingleDraft):
    """The residual is p without the rejected token, as for a deterministic draft."""

    def residual(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """The law that the rejected token is then left out of."""
        return target

    def after_rejection(self, parts: Parts) -> np.ndarray:
        rejected = parts.drafted * (1 - parts.accept)
        if self.mended or rejected.sum() == 0:
            return parts.residual
        spread = ratio(rejected, 1 - parts.residual)
        return np.asarray(parts.residual * (spread.sum() - spread) / rejected.sum())

    def replace_rejected(
        self, parts: Parts, rejected: np.ndarray, uniforms: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        if self.mended:
            return super().replace_rejected(parts, rejected, uniforms, rng)
        # Inverse transform with the rejected token's interval cut out, so no draw is repeated.
        mass = parts.residual[rejected]
        before = np.cumsum(parts.residual)[rejected] - mass
        fresh = rng.random(len(rejected)) * (parts.residual.sum() - mass)
        return categorical(parts.residual, np.where(fresh >= before, fresh + mass, fresh))


@dataclass(frozen=True)
class OneHotResidual(OneHot):
    """Drafts are sampled and tested with p / q; only the residual is that of a one-hot law."""

    key = "one_hot_residual"
    mechanism = "after a sampled draft is rejected, the residual only leaves that token out of p"
    sources = ("https://github.com/xLLM-AI/xllm/pull/2175",)


@dataclass(frozen=True)
class DraftLawLost(OneHot):
    """The test is that of a one-hot law too: right, but fewer drafts are accepted.

    Given the draft x, the output is x with probability ``p(x)`` and else a draw from p without x:
    p whatever x was. Acceptance is ``sum p q`` where ``1 - TV`` was meant.
    """

    key = "draft_law_lost"
    mechanism = "the draft law is dropped on the way, so drafts are verified as if deterministic"
    sources = (
        "https://github.com/vllm-project/vllm/pull/40269",
        "https://github.com/vllm-project/vllm/issues/40149",
    )
    seen_by = Sight.ACCEPTANCE

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return target
