"""transformers: the accept-and-residual function of assisted generation, called by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.adapters.chain import ChainEngine, Outcome, logarithms
from spectheory.adapters.engine import Engine


@dataclass(frozen=True)
class TransformersFunction(ChainEngine):
    """``_speculative_sampling``, one request at a time, in the dtype of the logits it is given.

    ``generate`` gives it float32. In bfloat16 its uniforms have 8 bits, so ``r <= p / q`` accepts a
    token of target probability 0 once in 256 tests, and probabilities are rounded.

    Attributes:
        dtype: of the logits.
        ensemble_weight: below 1, verification against a mixture with the draft, lossy by design.
    """

    distribution: ClassVar[str] = "transformers"
    tested: ClassVar[tuple[str, ...]] = ("5.23.0",)
    reference: ClassVar[str] = "https://github.com/huggingface/transformers"

    dtype: str = "float32"
    ensemble_weight: float | None = None

    @classmethod
    def examples(cls) -> Iterator[Engine]:
        yield cls()
        yield cls(dtype="bfloat16")
        yield cls(ensemble_weight=0.9)

    @property
    def key(self) -> str:
        mixed = "" if self.ensemble_weight is None else "-ensemble"
        return "transformers" + ("" if self.dtype == "float32" else f"-{self.dtype}") + mixed

    @property
    def calls(self) -> str:
        return "transformers.generation.utils._speculative_sampling"

    @property
    def claim(self) -> str:
        return "law-lossless" if self.ensemble_weight is None else "lossy"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        import torch

        function = self.load("transformers.generation.utils")._speculative_sampling
        p, q = logarithms(target, self.dtype), logarithms(draft, self.dtype)
        ids = torch.from_numpy(drafts)
        kept, following = np.empty((2, len(drafts)), dtype=np.int64)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for b in range(len(drafts)):
                tokens, matches = function(
                    ids[b : b + 1],
                    q[b : b + 1],
                    ids.shape[1],
                    p[b : b + 1],
                    assistant_ensemble_weight=self.ensemble_weight,
                )
                kept[b], following[b] = int(matches), int(tokens[0, -1])
        return Outcome(kept, following)
