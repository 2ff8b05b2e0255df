"""dflash: the rejection step of its generation loop, one request at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.adapters.chain import ChainEngine, Outcome


@dataclass(frozen=True)
class DFlash(ChainEngine):
    """``_rejection_sample`` on float32 probabilities.

    The package pins the exact version of each requirement; without them it imports beside other
    versions of torch and transformers.
    """

    distribution: ClassVar[str] = "dflash"
    tested: ClassVar[tuple[str, ...]] = ("0.1.0",)
    reference: ClassVar[str] = "https://pypi.org/project/dflash/"
    install: ClassVar[str] = "pip install --no-deps dflash==0.1.0"

    @property
    def key(self) -> str:
        return "dflash"

    @property
    def calls(self) -> str:
        return "dflash.model._rejection_sample"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        function = self.load("dflash.model")._rejection_sample
        import torch

        p, q = (torch.from_numpy(law.copy()).float() for law in (target, draft))
        ids = torch.from_numpy(drafts)
        kept, following = np.empty((2, len(drafts)), dtype=np.int64)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for b in range(len(drafts)):
                accepted, token = function(ids[b : b + 1], p[b : b + 1], q[b : b + 1])
                kept[b], following[b] = accepted, int(token)
        return Outcome(kept, following)
