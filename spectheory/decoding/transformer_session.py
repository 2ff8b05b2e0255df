"""A session of a transformer: one pass reads a tree below each text of a batch.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from spectheory.decoding.cache import RaggedCache
from spectheory.decoding.grouped_heads import uncopied_groups
from spectheory.decoding.session import HeadTokens, LogitRows, Nodes, PrunedRows, Rows
from spectheory.errors import InputError, ModelFailure, out_of_memory


class Pass(Protocol):
    """One pass of a network."""

    def __call__(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """``(B, n, V)`` logits at the columns ``keep``.

        Args:
            keep: ``(n,)`` columns whose logits are wanted.
            inputs: ``input_ids``, ``position_ids``, ``attention_mask``, ``past_key_values``.
        """
        ...


class TransformerSession:
    """Texts read with a `RaggedCache` and a four-dimensional mask.

    Args:
        name: of the model, for messages.
        forward: its pass.
        config: its text configuration.
        layers: how many of its layers run.
        texts: how many texts.
        like: the weight of the head, ``(V, size)``: its device, its dtype, the size of states.
        body: the part whose ``last_hidden_state`` `watch` keeps; none if nobody may watch.

    Attributes:
        head_tokens: what the columns of the logits are of; None if of all tokens, in order.

    Raises:
        InputError: a model that keeps a recurrent state, or attends in chunks: it cannot forget
            single tokens, or not by a mask.
    """

    def __init__(
        self,
        name: str,
        forward: Pass,
        config: Any,
        layers: int,
        texts: int,
        like: torch.Tensor,
        body: torch.nn.Module | None = None,
    ) -> None:
        self.name = name
        self._forward = forward
        self._window, self._types = _attention_types(name, config)
        self._device, self._dtype, self._state_size = like.device, like.dtype, like.shape[1]
        self._cache = RaggedCache(layers, texts)
        self._ancestors = [np.zeros((0, 0), bool) for _ in range(texts)]
        self._depths = [np.zeros(0, np.int64) for _ in range(texts)]
        self.head_tokens: HeadTokens | None = None
        self._body = body
        self._watched: list[WatchedStates] | None = None

    def watch(self) -> int:
        """From now on, keep the hidden states before the head for `take_states`; their size.

        Raises:
            InputError: a session whose states are nobody's.
        """
        if self._body is None:
            raise InputError(f"the states of `{self.name}` cannot be read")
        self._watched = [WatchedStates() for _ in self._depths]
        return self._state_size

    def take_states(self, text: int) -> torch.Tensor:
        """``(n, size)`` states of a text's tokens that were kept since they were taken last."""
        assert self._watched is not None
        return self._watched[text].take()

    def extend(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        """See `Session.extend`."""
        widest = max(len(nodes.tokens) for nodes in batch)
        if not widest:
            return [LogitRows(torch.empty(0, 0)) for _ in batch]
        pending = [len(depths) for depths in self._depths]
        self._cache.place(pending, widest)
        for text, nodes in enumerate(batch):
            self._grow_tree(text, nodes)
        columns = sorted(
            {column for n in batch for column in range(len(n.tokens) - n.wanted, len(n.tokens))}
        )
        logits = self._run(batch, pending, widest, columns)
        return [self._rows(logits[text], nodes, columns) for text, nodes in enumerate(batch)]

    @torch.inference_mode()
    def keep(self, paths: Sequence[Sequence[int]]) -> None:
        """See `Session.keep`."""
        self._cache.keep(paths)
        for watched, path in zip(self._watched or (), paths, strict=self._watched is not None):
            watched.keep(path)
        self._ancestors = [np.zeros((0, 0), bool) for _ in paths]
        self._depths = [np.zeros(0, np.int64) for _ in paths]

    @torch.inference_mode()
    def select(self, texts: Sequence[int]) -> None:
        """See `Session.select`."""
        self._cache.select(texts)
        self._ancestors = [self._ancestors[text] for text in texts]
        self._depths = [self._depths[text] for text in texts]
        if self._watched is not None:
            self._watched = [self._watched[text] for text in texts]

    def _grow_tree(self, text: int, nodes: Nodes) -> None:
        """Append nodes to a text's pending tree."""
        old, count = len(self._depths[text]), len(nodes.tokens)
        ancestors = np.zeros((old + count, old + count), bool)
        ancestors[:old, :old] = self._ancestors[text]
        depths = np.concatenate([self._depths[text], np.zeros(count, np.int64)])
        for node, parent in enumerate(nodes.parents, old):
            if parent >= 0:
                ancestors[node] = ancestors[parent]
                depths[node] = depths[parent] + 1
            ancestors[node, node] = True
        self._ancestors[text], self._depths[text] = ancestors, depths

    def _run(
        self, batch: Sequence[Nodes], pending: Sequence[int], widest: int, columns: Sequence[int]
    ) -> torch.Tensor:
        tokens = np.zeros((len(batch), widest), np.int64)
        positions = np.zeros((len(batch), widest), np.int64)
        for text, nodes in enumerate(batch):
            count = len(nodes.tokens)
            tokens[text, :count] = nodes.tokens
            positions[text, :count] = (
                self._cache.lengths[text] + self._depths[text][pending[text] :]
            )
        try:
            groups = uncopied_groups(self._device.type)
            with torch.inference_mode(), self._watching(batch), groups:
                return self._forward(
                    torch.tensor(columns, dtype=torch.int64, device=self._device),
                    input_ids=torch.from_numpy(tokens).to(self._device),
                    position_ids=torch.from_numpy(positions).to(self._device),
                    attention_mask=self._masks(pending, positions),
                    past_key_values=self._cache,
                )
        except RuntimeError as error:
            if out_of_memory(error):
                raise MemoryError(
                    f"model `{self.name}` cannot read {widest} tokens of {len(batch)} texts with "
                    f"{self._cache.end} cached on {self._device}; a smaller batch or shorter "
                    "texts need less"
                ) from error
            raise

    @contextmanager
    def _watching(self, batch: Sequence[Nodes]) -> Iterator[None]:
        """Note the states that leave the body, if they are watched."""
        if self._watched is None:
            yield
            return
        assert self._body is not None
        seen: list[torch.Tensor] = []
        hook = self._body.register_forward_hook(
            lambda _, __, output: seen.append(output.last_hidden_state)
        )
        try:
            yield
        finally:
            hook.remove()
        for text, nodes in enumerate(batch):
            self._watched[text].pending.append(seen[0][text, : len(nodes.tokens)])

    def _masks(self, pending: Sequence[int], positions: np.ndarray) -> Any:
        """Additive ``(B, 1, T, slots)`` masks: a node sees its text and its own ancestors."""
        widest, end = positions.shape[1], self._cache.end
        seen = np.zeros((len(pending), 1, widest, end), bool)
        held = np.zeros((len(pending), end), np.int64)  # position of the token in each slot
        for text, (old, length) in enumerate(zip(pending, self._cache.lengths, strict=True)):
            tree = self._ancestors[text][old:]
            seen[text, 0, :, :length] = True
            seen[text, 0, : len(tree), length : length + tree.shape[1]] = tree
            held[text, :length] = np.arange(length)
            held[text, length : length + tree.shape[1]] = length + self._depths[text]
        full = self._additive(seen)
        if self._window is None:
            return full
        near = positions[:, None, :, None] - held[:, None, None, :] < self._window
        sliding = self._additive(seen & near)
        return {"full_attention": full, "sliding_attention": sliding} if self._types else sliding

    def _additive(self, seen: np.ndarray) -> torch.Tensor:
        # The lowest finite number, not -inf: a padding row that sees nothing is then no 0 / 0.
        mask = torch.zeros(seen.shape, dtype=self._dtype)
        mask.masked_fill_(torch.from_numpy(~seen), torch.finfo(self._dtype).min)
        return mask.to(self._device)

    def _rows(self, logits: torch.Tensor, nodes: Nodes, columns: Sequence[int]) -> LogitRows:
        """The rows wanted of one text, checked, where the pass left them."""
        first = len(nodes.tokens) - nodes.wanted
        start = columns.index(first) if nodes.wanted else 0
        rows = logits[start : start + nodes.wanted]
        if nodes.wanted and not np.isfinite(rows.amax(dim=-1).tolist()).all():
            raise ModelFailure(
                f"model `{self.name}` returned NaN, +inf or no finite logit. An overflow in "
                "float16, or damaged weights?"
            )
        return LogitRows(rows) if self.head_tokens is None else PrunedRows(rows, self.head_tokens)


class WatchedStates:
    """Hidden states of one text: of its pending nodes, and of those kept and not yet taken."""

    def __init__(self) -> None:
        self.pending: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []

    def keep(self, path: Sequence[int]) -> None:
        """See `Session.keep`."""
        if len(path):
            self._kept.append(torch.cat(self.pending)[list(path)])
        self.pending = []

    def take(self) -> torch.Tensor:
        """All that were kept, which are forgotten here."""
        kept, self._kept = self._kept, []
        return torch.cat(kept)


def _attention_types(name: str, config: Any) -> tuple[int | None, bool]:
    """The sliding window, if a layer has one, and whether other layers have none."""
    types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if types - {"full_attention", "sliding_attention"}:
        other = ", ".join(sorted(types - {"full_attention", "sliding_attention"}))
        raise InputError(
            f"model `{name}` has layers of type {other}; a decoder that rolls back needs layers "
            "whose past is a key-value cache"
        )
    if types:
        return (window, len(types) == 2) if "sliding_attention" in types else (None, False)
    return (window if getattr(config, "use_sliding_window", True) else None), False
