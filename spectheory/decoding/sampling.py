"""The sampling parameters of a request: how logits become the law a token is drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectheory.arrays import Array, namespace
from spectheory.distributions import from_logits, normalise, temper, top_k, top_p
from spectheory.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """Temperature, then top-k, then top-p; target and draft may differ in them.

    Losslessness is relative to the target's law after its own parameters; the draft's may be
    anything, since its law is declared as it was sampled.

    Attributes:
        temperature: 0 is greedy: the one-hot law of the largest logit, lowest index on ties.
        top_k: keep the most probable tokens; None keeps all.
        top_p: keep the shortest top list of at least this mass; None keeps all.

    Raises:
        InputError: one of them out of range.

    >>> import numpy as np
    >>> Sampling(top_k=1).of_logits(np.array([0.0, 2.0, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(
                f"`temperature` is {self.temperature}; expected a finite number >= 0, where 0 is "
                "greedy. Its inverse, or its logarithm?"
            )
        if self.top_k is not None and (not self.top_k >= 1 or self.top_k % 1):
            raise InputError(
                f"`top_k` is {self.top_k}; expected an integer >= 1, or None to keep all tokens, "
                "which other libraries spell 0 or -1"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(
                f"`top_p` is {self.top_p}; expected a number in (0, 1], or None to keep all "
                "tokens. A percentage?"
            )

    def of_logits(self, logits: Array) -> Array:
        """``(..., V)`` float64 law of ``(..., V)`` logits."""
        return self._truncated(from_logits(logits, self.temperature))

    def of_law(self, law: Array) -> Array:
        """``(..., V)`` law from a law at temperature 1, in its own arithmetic."""
        return self._truncated(temper(law, self.temperature))

    def _truncated(self, law: Array) -> Array:
        if self.top_k is not None:
            law = _cut(top_k, law, self.top_k, _rank_bound)
        return law if self.top_p is None else _cut(top_p, law, self.top_p, _nucleus_bound)


def _cut(keep: Callable[..., Array], law: Array, limit: Any, bound: Callable[..., float]) -> Array:
    """``keep(law, limit)``, of one float64 law by a sort of few tokens instead of all.

    ``bound`` is a probability that no kept token is below: the tokens from there upwards, in their
    order, are cut where all would be.
    """
    on_host = str(getattr(law, "device", "")) == "cpu"
    if str(law.dtype).rpartition(".")[2] != "float64" or law.ndim != 1 or not on_host:
        return keep(law, limit)
    least = bound(law, limit)
    if not least > 0:
        return keep(law, limit)
    xp = namespace(law)
    leading = xp.nonzero(law >= least)[0]
    few = law[leading]
    mass = xp.zeros_like(law)
    mass[leading] = xp.where(keep(few, limit) > 0, few, few * 0)
    return normalise(mass, fallback=law)


def _rank_bound(law: Array, count: int) -> float:
    """The probability of the ``count``-th token."""
    if not 0 < count < law.shape[-1]:
        return 0.0
    at = law.shape[-1] - count
    return float(np.partition(np.asarray(law), at)[at])


def _nucleus_bound(law: Array, mass: float) -> float:
    """One that even all V tokens below it have less than half of what a nucleus may leave out."""
    return (1 - mass - 1e-9) / (2 * law.shape[-1]) if mass > 0 else 0.0  # rounding is far less


PLAIN = Sampling()
"""The model's own law."""
