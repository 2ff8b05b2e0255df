"""One vector of Gumbel noise picks the draft and, after a rejection, its replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectheory.zoo.single_draft import Parts, SingleDraft


class Race(NamedTuple):
    """Race for the residual among tokens that are known to have lost the draft's race.

    Let the draft win at time T, exponential of rate 1. A loser's arrival is ``T q + E`` with fresh
    E, so in the residual's race it starts late, at ``T b`` with ``b = q / r``, and then runs at
    rate r. By the time ``T b`` the tokens up to place j have used up ``T h_j``,
    ``h_j = sum_{i <= j} r_i (b_j - b_i)``, and the winner's exponent over T is larger than w with
    probability ``1 / (1 + w)``. So the winner is among the first j with probability
    ``1 / (1 + h_j) - 1 / (1 + h_{j + 1})``, in proportion to r.

    Attributes:
        order: ``(m,)`` tokens of positive residual, by b.
        spent: ``(m,)`` h at each place.
        running: ``(m,)`` running sum of r in that order.
    """

    order: np.ndarray
    spent: np.ndarray
    running: np.ndarray

    @classmethod
    def among(cls, residual: np.ndarray, draft: np.ndarray) -> Race:
        """The race for ``(V,)`` residual and draft laws."""
        tokens = np.flatnonzero(residual)
        starts = draft[tokens] / residual[tokens]
        place = np.argsort(starts, kind="stable")
        order, starts = tokens[place], starts[place]
        running = np.cumsum(residual[order])
        spent = running * starts - np.cumsum(draft[order])
        return cls(order, np.maximum.accumulate(np.maximum(spent, 0)), running)

    def law(self, size: int) -> np.ndarray:
        """``(V,)`` law of the winner."""
        ahead = 1 / (1 + self.spent)
        each = (ahead - np.append(ahead[1:], 0.0)) / self.running
        law = np.zeros(size)
        rates = np.diff(self.running, prepend=0.0)
        law[self.order] = rates * np.cumsum(each[::-1])[::-1]
        return law

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """N winners."""
        uniforms = rng.random(n)
        place = np.searchsorted(self.spent, uniforms / (1 - uniforms), side="right") - 1
        within = rng.random(n) * self.running[place]
        return self.order[np.minimum(np.searchsorted(self.running, within, "right"), place)]


@dataclass(frozen=True)
class SharedGumbel(SingleDraft):
    """The replacement is the argmax of ``log r + G`` with the G that made the draft an argmax.

    Tokens that q favours and that lost have small noise, so the residual underweights them.
    """

    key = "shared_gumbel"
    mechanism = "the noise that picked the draft is used again to draw from the residual"
    sources = (
        "https://github.com/vllm-project/vllm/pull/54282",
        "https://github.com/vllm-project/vllm/pull/47386",
        "https://github.com/local-inference-lab/vllm/issues/205",
    )

    def after_rejection(self, parts: Parts) -> np.ndarray:
        if self.mended:
            return parts.residual
        return Race.among(parts.residual, parts.drafted).law(parts.residual.size)

    def replace_rejected(
        self, parts: Parts, rejected: np.ndarray, uniforms: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        if self.mended:
            return super().replace_rejected(parts, rejected, uniforms, rng)
        return Race.among(parts.residual, parts.drafted).draw(len(rejected), rng)
