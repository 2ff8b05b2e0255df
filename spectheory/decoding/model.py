"""What a language model is here: next-token logits at every position of a prompt."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from spectheory.arrays import Array
from spectheory.errors import ContextTooLong, ModelFailure, TokenError


@runtime_checkable
class LanguageModel(Protocol):
    """A map from a token prefix to the logits of the next token.

    A decoder with key-value caches asks for more than this (extend, roll back); every such model
    still answers `logits`, which is the definition that its cached steps are tested against.

    Attributes:
        name: for tables and messages.
        vocab_size: number of tokens V.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    def logits(self, tokens: Any) -> Array:
        """Teacher-forced logits of a whole prompt.

        Args:
            tokens: ``(T,)`` token ids, T >= 1.

        Returns:
            ``(T, V)`` float32 or float64: row t belongs to the token after ``tokens[:t + 1]``;
            ``-inf`` for a token of probability 0. Row t depends on no later token.

        Raises:
            TokenError: no tokens, ids that are no integers, or ids outside the vocabulary.
            ContextTooLong: more tokens than the model can look back on.
        """
        ...


def check_tokens(tokens: Any, vocab_size: int, context: int | None = None) -> np.ndarray:
    """``tokens`` as an ``int64`` array ``(T,)``, or an error that says what is wrong with them.

    Raises:
        TokenError, ContextTooLong: see `LanguageModel.logits`.

    >>> check_tokens([3, 1], vocab_size=4)
    array([3, 1])
    """
    ids = np.asarray(tokens)
    if ids.size == 0:
        raise TokenError("`tokens` is empty; a prompt needs at least one token")
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise TokenError(
            f"`tokens` has shape {ids.shape} and dtype {ids.dtype}; expected (T,) integers. "
            "Did you pass text, or a batch?"
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        bad = ids.max() if ids.max() >= vocab_size else ids.min()
        raise TokenError(
            f"`tokens` holds {bad}, outside the vocabulary of {vocab_size}. "
            "Tokens of another model's tokenizer?"
        )
    if context is not None and ids.size > context:
        raise ContextTooLong(
            f"`tokens` has {ids.size} entries; the model looks back on {context} at most"
        )
    return ids.astype(np.int64)


def check_logits(name: str, logits: np.ndarray) -> np.ndarray:
    """``logits`` if every row has a finite largest entry.

    Raises:
        ModelFailure: NaN, ``+inf``, or a row that masks every token.
    """
    if not np.isfinite(logits.max(axis=-1)).all():
        row = int(np.flatnonzero(~np.isfinite(logits.max(axis=-1)))[0])
        raise ModelFailure(
            f"model `{name}` returned NaN, +inf or no finite logit at position {row}. "
            "An overflow in float16, or damaged weights?"
        )
    return logits
