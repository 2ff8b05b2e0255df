"""A draft whose output head knows only the tokens that are likely at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spectheory.decoding.early_exit import EarlyExit
from spectheory.decoding.session import HeadTokens
from spectheory.errors import TokenError

if TYPE_CHECKING:
    from spectheory.decoding.transformer_session import TransformerSession


def frequent_tokens(
    texts: Iterable[Sequence[int] | np.ndarray], vocab_size: int, size: int
) -> np.ndarray:
    """``(size,)`` most frequent tokens of some texts, ascending; ties by token id.

    >>> frequent_tokens([[3, 1, 3], [2, 3, 1]], vocab_size=5, size=2).tolist()
    [1, 3]
    """
    counts = np.zeros(vocab_size, np.int64)
    for text in texts:
        counts += np.bincount(np.asarray(text, np.int64), minlength=vocab_size)
    return np.sort(np.argsort(-counts, kind="stable")[:size])


class PrunedHead:
    """An exit of a model, over a subset of the vocabulary; all other tokens have probability 0.

    The head is a large part of a small draft's cost. The target is untouched and the draft law is
    declared as it is, so losslessness holds; only acceptance is lost.

    Attributes:
        name: the draft's, with the number of tokens.
        vocab_size: V, as the target's.
        tokens: the tokens kept, ascending.

    Reference: goel2025vocabtrim.
    """

    def __init__(self, draft: EarlyExit, tokens: np.ndarray) -> None:
        import torch

        kept = np.unique(np.asarray(tokens))
        if not len(kept) or kept[0] < 0 or kept[-1] >= draft.vocab_size:
            raise TokenError(
                f"`tokens` holds {len(kept)} ids, from {kept[:1]} to {kept[-1:]}; expected at "
                f"least one, below {draft.vocab_size}"
            )
        self.draft = draft
        self.tokens = kept
        self.name = f"{draft.name}, {len(kept)} tokens"
        self.vocab_size, self.context = draft.vocab_size, draft.context
        self.tokenizer = draft.tokenizer
        head = draft.target.module.get_output_embeddings()
        index = torch.from_numpy(kept).to(head.weight.device)
        size = head.weight.shape[-1]
        self._head = torch.nn.Linear(size, len(kept), bias=False, device="meta")
        with torch.no_grad():
            self._head.weight = torch.nn.Parameter(head.weight[index], requires_grad=False)
            if getattr(head, "bias", None) is not None:
                self._head.bias = torch.nn.Parameter(head.bias[index], requires_grad=False)
        if draft.target.small_passes:
            from spectheory.decoding.small_passes import speed_up_small_passes

            speed_up_small_passes(self._head)

    def session(self, texts: int) -> TransformerSession:
        """A session of the exit, with the smaller head."""
        session = self.draft.session(texts, self._head)
        session.head_tokens = HeadTokens(self.tokens, self.vocab_size)
        return session
