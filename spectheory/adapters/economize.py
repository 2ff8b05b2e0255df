"""economize: rejection of a chain with its own sampler, and typical acceptance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from spectheory.adapters.chain import ChainEngine, GreedyDrafts, Outcome, logarithms


@dataclass(frozen=True)
class Economize(ChainEngine):
    """The "rejection" verifier, batched, with a `TopPSampler` at temperature 1."""

    distribution: ClassVar[str] = "economize"
    tested: ClassVar[tuple[str, ...]] = ("0.3.2",)
    reference: ClassVar[str] = "https://pypi.org/project/economize/"

    @property
    def key(self) -> str:
        return "economize"

    @property
    def calls(self) -> str:
        return "economize.decoding.verifiers.RejectionVerifier.verify_batch"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        return _verify_batch(self, "RejectionVerifier", target, draft, drafts, seed)


@dataclass(frozen=True)
class EconomizeTypical(GreedyDrafts):
    """The "typical" verifier, which its authors call lossy, on the drafter's likeliest tokens."""

    distribution: ClassVar[str] = "economize"
    tested: ClassVar[tuple[str, ...]] = ("0.3.2",)
    reference: ClassVar[str] = "https://pypi.org/project/economize/"

    @property
    def key(self) -> str:
        return "economize-typical"

    @property
    def calls(self) -> str:
        return "economize.decoding.verifiers.TypicalVerifier.verify_batch"

    @property
    def claim(self) -> str:
        return "lossy"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        return _verify_batch(self, "TypicalVerifier", target, None, drafts, seed)


def _verify_batch(
    engine: ChainEngine,
    verifier: str,
    target: np.ndarray,
    draft: np.ndarray | None,
    drafts: np.ndarray,
    seed: int,
) -> Outcome:
    import torch

    proposed = engine.load("economize.decoding.protocols").Draft(
        tokens=torch.from_numpy(drafts),
        lengths=[drafts.shape[1]] * len(drafts),
        probs=None if draft is None else torch.from_numpy(draft.copy()).float(),
    )
    # This verifier reads neither the text before nor its length.
    nothing: Any = torch.zeros(len(drafts), 1, dtype=torch.long)
    kept, following = _verifier(engine, verifier).verify_batch(
        logarithms(target), proposed, selector(engine, seed), nothing, [1] * len(drafts)
    )
    return Outcome(kept.numpy(), following.numpy())


def _verifier(engine: Any, name: str) -> Any:
    config = engine.load("economize.decoding").DecodeConfig()
    return getattr(engine.load("economize.decoding.verifiers"), name)(config)


def selector(engine: Any, seed: int) -> Any:
    """Its sampler at temperature 1 over the whole vocabulary."""
    return engine.load("economize.decoding.selectors").TopPSampler(seed=seed)
