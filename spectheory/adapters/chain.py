"""Engines that verify one chain of drafts: from their one function follow sampler and stream."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spectheory.adapters.engine import Emitted, Engine, after, draw_after
from spectheory.distributions import temper


class Outcome(NamedTuple):
    """Verdict on B chains.

    Attributes:
        kept: ``(B,)`` drafts accepted, from the first on.
        following: ``(B,)`` the token after them: the replacement, or the bonus token.
    """

    kept: np.ndarray
    following: np.ndarray


@dataclass(frozen=True)
class ChainEngine(Engine):
    """An engine that verifies a chain of drafts, all drawn from the draft model's own law.

    Attributes:
        drafts: how many a step. With one, every draw is one accept test: the bonus token is left
            out, and where the drafts have the law that the sampler is given, it also says whether
            they were accepted.
    """

    drafts: int = 3

    @property
    def depth(self) -> int:
        return self.drafts

    @abstractmethod
    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        """The engine's own function on float64 laws.

        Args:
            target: ``(B, k + 1, V)``.
            draft: ``(B, k, V)``.
            drafts: ``(B, k)`` tokens.
            seed: of the engine's randomness.
        """

    def step(
        self, target: np.ndarray, draft: np.ndarray, contexts: np.ndarray, seed: int
    ) -> Emitted:
        rng = np.random.default_rng(seed)
        table = self.proposal(draft)
        text = [contexts]
        for _ in range(self.drafts):
            text.append(draw_after(table, text[-1], rng))
        seen = np.stack(text, axis=1)  # the context, then the drafts
        kept, following = self.verify(
            after(target, seen), after(table, seen[:, :-1]), seen[:, 1:], int(rng.integers(2**62))
        )
        tokens = np.append(seen[:, 1:], seen[:, :1], axis=1)
        tokens[np.arange(len(kept)), kept] = following
        return Emitted(tokens, kept + 1)

    def expected_counts(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray | None:
        """``sum_i M^i 1`` with ``M(x, y) = min(p, q)(y | x)``: that of token-by-token rejection."""
        if self.claim == "lossy":
            return None
        accepted = np.minimum(target, self.proposal(draft))
        reach = expected = np.ones(len(target))
        for _ in range(self.drafts):
            reach = accepted @ reach
            expected = expected + reach
        return expected

    def __call__(self, target: np.ndarray, draft: np.ndarray | None, n: int, seed: int) -> Any:
        if self.drafts > 1 or draft is None:
            return super().__call__(target, draft, n, seed)
        # A block has one or two tokens, so n blocks are enough; its first token is the draw.
        found = list(self.blocks(target, draft, 2 * n, seed))
        tokens = np.concatenate([block.tokens[:, 0] for block in found])[:n]
        accepted = np.concatenate([block.counts == 2 for block in found])[:n]
        return (tokens, accepted) if np.array_equal(self.proposal(draft), draft) else tokens


@dataclass(frozen=True)
class GreedyDrafts(ChainEngine):
    """A chain whose drafts are the draft model's likeliest tokens, not draws from its law."""

    def proposal(self, draft: np.ndarray) -> np.ndarray:
        greedy: np.ndarray = temper(np.asarray(draft), 0.0)
        return greedy


def logarithms(law: np.ndarray, dtype: str = "float32") -> Any:
    """A torch tensor of log-probabilities, ``-inf`` for mass 0."""
    import torch

    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(law)).to(getattr(torch, dtype))


def generator(seed: int) -> Any:
    """A torch generator."""
    import torch

    return torch.Generator().manual_seed(seed)
