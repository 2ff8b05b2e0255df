"""A model continues from a cache that is not the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.zoo.entry import Sight
from spectheory.zoo.loop import Block, StreamEntry, Views, advance


def without_bonus(view: np.ndarray, tokens: np.ndarray, kept: np.ndarray, gamma: int) -> np.ndarray:
    """The view after a step, the bonus token left out."""
    return advance(view, tokens, kept + (kept < gamma))


@dataclass(frozen=True)
class StaleTargetCache(StreamEntry):
    """After a bonus token the target goes on as if that token had not been."""

    key = "stale_cache_after_bonus"
    mechanism = "the target's cache misses the bonus token, so later laws have a wrong context"
    sources = (
        "https://github.com/vllm-project/vllm/pull/9730",
        "https://github.com/ml-explore/mlx-swift-lm/pull/308",
    )

    def commit(self, views: Views, block: Block, tokens: np.ndarray, kept: np.ndarray) -> Views:
        after = super().commit(views, block, tokens, kept)
        return after._replace(target=without_bonus(views.target, tokens, kept, self.gamma))


@dataclass(frozen=True)
class StaleDraftCache(StreamEntry):
    """The same in the draft's cache: drafts are worse, what is emitted is right."""

    key = "stale_draft_cache"
    mechanism = "the draft's cache misses the bonus token, so fewer drafts are accepted"
    sources = (
        "https://github.com/vllm-project/vllm/pull/9730",
        "https://github.com/lablup/mlxcel/issues/994",
    )
    seen_by = Sight.ACCEPTANCE

    def commit(self, views: Views, block: Block, tokens: np.ndarray, kept: np.ndarray) -> Views:
        after = super().commit(views, block, tokens, kept)
        return after._replace(draft=without_bonus(views.draft, tokens, kept, self.gamma))


@dataclass(frozen=True)
class InPlaceReplacement(StreamEntry):
    """A rejected draft is overwritten in the text, but the target's cache is not rolled back."""

    key = "in_place_replacement"
    mechanism = "a rejected draft is replaced in the text, but stays in the target's cache"
    sources = (
        "https://github.com/ml-explore/mlx-lm/pull/1486",
        "https://github.com/ml-explore/mlx-swift-lm/pull/516",
    )

    def commit(self, views: Views, block: Block, tokens: np.ndarray, kept: np.ndarray) -> Views:
        after = super().commit(views, block, tokens, kept)
        cached = tokens.copy()
        rejected = np.flatnonzero(kept < self.gamma)
        cached[rejected, kept[rejected]] = block.path[rejected, kept[rejected]]
        return after._replace(target=advance(views.target, cached, kept + 1))
