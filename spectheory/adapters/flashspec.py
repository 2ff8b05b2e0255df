"""flashspec: rejection of a chain, of a deterministic chain, and typical acceptance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.adapters.chain import ChainEngine, GreedyDrafts, Outcome, generator, logarithms


@dataclass(frozen=True)
class Flashspec(ChainEngine):
    """Speculative sampling on float32 log-probabilities, a batch at a time."""

    distribution: ClassVar[str] = "flashspec"
    tested: ClassVar[tuple[str, ...]] = ("0.3.1",)
    reference: ClassVar[str] = "https://pypi.org/project/flashspec/"

    @property
    def key(self) -> str:
        return "flashspec"

    @property
    def calls(self) -> str:
        return "flashspec.sampling.rejection.rejection_step"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        import torch

        found = self.load("flashspec.sampling.rejection").rejection_step(
            torch.from_numpy(drafts),
            logarithms(draft),
            logarithms(target),
            generator=generator(seed),
        )
        return Outcome(*found.numpy().T)


@dataclass(frozen=True)
class FlashspecOneHot(GreedyDrafts):
    """The same for a deterministic drafter: accepted with probability p(x)."""

    distribution: ClassVar[str] = "flashspec"
    tested: ClassVar[tuple[str, ...]] = ("0.3.1",)
    reference: ClassVar[str] = "https://pypi.org/project/flashspec/"

    @property
    def key(self) -> str:
        return "flashspec-onehot"

    @property
    def calls(self) -> str:
        return "flashspec.sampling.rejection.rejection_step_onehot"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        import torch

        found = self.load("flashspec.sampling.rejection").rejection_step_onehot(
            torch.from_numpy(drafts), logarithms(target), generator=generator(seed)
        )
        return Outcome(*found.numpy().T)


@dataclass(frozen=True)
class FlashspecTypical(ChainEngine):
    """Typical acceptance, which its authors call lossy.

    The function leaves the bonus token to its caller; here it is drawn from the target.
    """

    distribution: ClassVar[str] = "flashspec"
    tested: ClassVar[tuple[str, ...]] = ("0.3.1",)
    reference: ClassVar[str] = "https://pypi.org/project/flashspec/"

    @property
    def key(self) -> str:
        return "flashspec-typical"

    @property
    def calls(self) -> str:
        return "flashspec.sampling.typical.typical_sample"

    @property
    def claim(self) -> str:
        return "lossy"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        import torch

        rng = generator(seed)
        tokens, kept, _ = self.load("flashspec.sampling.typical").typical_sample(
            logarithms(draft),
            logarithms(target[:, :-1]),
            torch.from_numpy(drafts),
            self.drafts,
            generator=rng,
        )
        bonus = torch.multinomial(torch.from_numpy(target[:, -1].copy()), 1, generator=rng)
        kept = kept.long()
        following = torch.cat([tokens, bonus], dim=1).gather(1, kept[:, None])[:, 0]
        return Outcome(kept.numpy(), following.numpy())
