"""The sampling parameters of a request: how logits become the law a token is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from spectheory.arrays import Array
from spectheory.distributions import from_logits, temper, top_k, top_p


@dataclass(frozen=True)
class Sampling:
    """Temperature, then top-k, then top-p; target and draft may differ in them.

    Losslessness is relative to the target's law after its own parameters; the draft's may be
    anything, since its law is declared as it was sampled.

    Attributes:
        temperature: 0 is greedy: the one-hot law of the largest logit, lowest index on ties.
        top_k: keep the most probable tokens; None keeps all.
        top_p: keep the shortest top list of at least this mass; None keeps all.

    >>> import numpy as np
    >>> Sampling(top_k=1).of_logits(np.array([0.0, 2.0, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def of_logits(self, logits: Array) -> Array:
        """``(..., V)`` float64 law of ``(..., V)`` logits."""
        return self._truncated(from_logits(logits, self.temperature))

    def of_law(self, law: Array) -> Array:
        """``(..., V)`` law from a law at temperature 1, in its own arithmetic."""
        return self._truncated(temper(law, self.temperature))

    def _truncated(self, law: Array) -> Array:
        if self.top_k is not None:
            law = top_k(law, self.top_k)
        return law if self.top_p is None else top_p(law, self.top_p)


PLAIN = Sampling()
"""The model's own law."""
