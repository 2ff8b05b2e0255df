"""A key-value cache in which every text of a batch has its own length, and rollback is free.

Text b occupies the first ``lengths[b]`` slots of its row; what a pass writes lies behind them and
is overwritten unless it is kept. Ragged acceptance leaves no holes, nothing is concatenated, and
dropping rejected tokens moves no memory. Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

FIRST_SLOTS = 256
"""Slots of a new cache; it doubles when they are full."""


class RaggedCache(Cache):
    """Keys and values of B texts of different lengths.

    Attributes:
        lengths: kept tokens of each text.
        starts: ``(B,)`` int64, slot that the next pass writes first, set by `place`.
        end: number of slots that the next pass sees.
    """

    def __init__(self, layers: int, texts: int) -> None:
        super().__init__(layers=[RaggedLayer(self) for _ in range(layers)])
        self.lengths = [0] * texts
        self.starts = np.zeros(texts, np.int64)
        self.end = 0

    def place(self, pending: Sequence[int], tokens: int) -> None:
        """Make the next pass write ``tokens`` entries behind each text's pending ones."""
        self.starts = np.add(self.lengths, pending)
        self.end = int(self.starts.max()) + tokens

    def keep(self, paths: Sequence[Sequence[int]]) -> None:
        """Append entries at these offsets behind each text's length to the text."""
        sources = [
            [length + offset for offset in path]
            for length, path in zip(self.lengths, paths, strict=True)
        ]
        for text, (length, slots) in enumerate(zip(self.lengths, sources, strict=True)):
            moved = next((i for i, slot in enumerate(slots) if slot != length + i), len(slots))
            if moved < len(slots):
                for layer in self.layers:
                    layer.move(text, slots[moved:], length + moved)
            self.lengths[text] = length + len(slots)

    def select(self, texts: Sequence[int]) -> None:
        """Keep these texts only, in this order."""
        self.lengths = [self.lengths[text] for text in texts]
        for layer in self.layers:
            layer.select(texts)


class RaggedLayer(CacheLayerMixin):
    """Keys and values of one layer, ``(B, heads, slots, width)``."""

    is_sliding = False

    def __init__(self, cache: RaggedCache) -> None:
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate slots of the first pass's shape."""
        self.dtype, self.device = key_states.dtype, key_states.device
        slots = max(FIRST_SLOTS, self.cache.end)
        self.keys, self.values = (
            states.new_zeros((*states.shape[:2], slots, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **_: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a pass's entries in their slots; returns views of all slots that it sees."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end, starts = self.cache.end, self.cache.starts.tolist()
        if end > self.keys.shape[2]:
            self._grow(max(end, 2 * self.keys.shape[2]))
        tokens = key_states.shape[2]
        if len(set(starts)) == 1:
            slots = slice(starts[0], starts[0] + tokens)
            self.keys[:, :, slots] = key_states
            self.values[:, :, slots] = value_states
        else:
            for text, start in enumerate(starts):
                self.keys[text, :, start : start + tokens] = key_states[text]
                self.values[text, :, start : start + tokens] = value_states[text]
        return self.seen()

    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of all slots that a pass sees."""
        end = self.cache.end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)

    def has_room(self) -> bool:
        """Whether a pass's entries have their slots already."""
        return self.is_initialized and self.cache.end <= self.keys.shape[2]

    def move(self, text: int, slots: Sequence[int], start: int) -> None:
        """Copy some slots of a text to consecutive ones."""
        if not self.is_initialized:  # layers that share another's keys are never written
            return
        for states in (self.keys, self.values):
            row = states[text]
            row[:, start : start + len(slots)] = row[:, slots]  # the right side is a copy

    def select(self, texts: Sequence[int]) -> None:
        """See `RaggedCache.select`."""
        if self.is_initialized:
            self.keys, self.values = self.keys[list(texts)], self.values[list(texts)]

    def _grow(self, slots: int) -> None:
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((*old.shape[:2], slots, old.shape[3]))
            new[:, :, : old.shape[2]] = old
            setattr(self, name, new)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Slots seen, and the first of them."""
        return self.cache.end, 0

    def get_seq_length(self) -> int:
        """Slots in use before the pass."""
        return int(self.cache.starts.max())

    def get_max_length(self) -> int:
        """No maximum."""
        return -1
