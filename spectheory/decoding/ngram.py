"""An n-gram draft model over token ids that learns while it drafts, and costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectheory.decoding.model import check_tokens
from spectheory.errors import InputError


class NgramModel:
    r"""Interpolated n-gram model with Witten-Bell smoothing and a uniform floor.

    With c(h x) the count of token x after context h, c(h) the sum over x and t(h) the number of
    different x seen there,

        p(x | h) = (c(h x) + t(h) p(x | h')) / (c(h) + t(h)),

    where h' drops the oldest token of h, and the recursion ends in 1/V. Every token has positive
    probability from the first step on, so the law is a proper draft law.

    Attributes:
        name: for tables and messages.
        order: longest n-gram counted, so contexts have up to ``order - 1`` tokens.
        vocab_size: V.

    Reference: witten1991zero, method C.

    >>> model = NgramModel(vocab_size=4, order=2)
    >>> model.update([0, 1, 0, 1, 0])
    >>> model.law([0]).round(3).tolist()
    [0.167, 0.786, 0.024, 0.024]
    """

    def __init__(self, vocab_size: int, order: int = 3, name: str | None = None) -> None:
        if order < 1 or vocab_size < 1:
            raise InputError(f"`vocab_size`, `order` are {vocab_size}, {order}; expected >= 1")
        self.name = name or f"{order}-gram"
        self.order = order
        self.vocab_size = vocab_size
        self._learnt = _Counts(vocab_size, order)

    def update(self, tokens: Any, context: Any = ()) -> None:
        """Count ``tokens``, a text of its own or the continuation of ``context``.

        Raises:
            TokenError: no tokens, or ids that the vocabulary does not have.
        """
        known = check_tokens(context, self.vocab_size).tolist() if len(context) else []
        text = known + check_tokens(tokens, self.vocab_size).tolist()
        for end in range(len(known), len(text)):
            self._learnt.add(text, end)

    def law(self, context: Any) -> np.ndarray:
        """``(V,)`` float64 law of the token after ``context``, from what `update` has counted."""
        known = check_tokens(context, self.vocab_size).tolist() if len(context) else []
        return self._law(known, self._learnt.unigrams, self._learnt.distinct, [self._learnt])

    def logits(self, tokens: Any) -> np.ndarray:
        """``(T, V)`` float32 log-probabilities; see `LanguageModel.logits`.

        Row t counts what `update` has seen and ``tokens[:t + 1]``, never a later token. The counts
        of this prompt are dropped at the end: the call leaves the model as it was.
        """
        text = check_tokens(tokens, self.vocab_size).tolist()
        reader = self.reader()
        logits = np.empty((len(text), self.vocab_size), np.float32)
        for end in range(len(text)):
            reader.read(text[: end + 1], end)
            law = reader.law(text[: end + 1])
            np.log(law, out=law)
            logits[end] = law
        return logits

    def reader(self) -> NgramReader:
        """A copy that goes on learning from one text, and leaves this model as it is."""
        return NgramReader(self)

    def _law(
        self, context: Sequence[int], unigrams: np.ndarray, distinct: int, layers: list[_Counts]
    ) -> np.ndarray:
        """The recursion, shortest context first: dense once, then a few entries a length."""
        # An empty model is uniform: as if one token type had been seen, with no count.
        weight = max(distinct, 1)
        law = (unigrams + weight / self.vocab_size) / (unigrams.sum() + weight)
        for length in range(1, min(self.order - 1, len(context)) + 1):
            history = tuple(context[-length:])
            after: dict[int, int] = {}
            for counts in layers:
                for token, count in counts.followers.get(history, {}).items():
                    after[token] = after.get(token, 0) + count
            if not after:  # then no longer context was seen either
                break
            tokens = np.fromiter(after.keys(), np.int64, len(after))
            seen = np.fromiter(after.values(), np.float64, len(after))
            scale = seen.sum() + len(after)
            law *= len(after) / scale
            law[tokens] += seen / scale
        return law


class NgramReader:
    """An n-gram model that has also read the beginning of one text; made by `NgramModel.reader`."""

    def __init__(self, model: NgramModel) -> None:
        self._model = model
        self.order = model.order
        self._live = _Counts(model.vocab_size, model.order)
        self._live.unigrams = model._learnt.unigrams.copy()
        self._live.distinct = model._learnt.distinct

    def read(self, text: Sequence[int], start: int) -> None:
        """Count ``text[start:]``, what stands before it having been read."""
        for end in range(start, len(text)):
            self._live.add(text, end)

    def law(self, context: Sequence[int]) -> np.ndarray:
        """``(V,)`` float64 law of the token after ``context``."""
        live, learnt = self._live, self._model._learnt
        return self._model._law(context, live.unigrams, live.distinct, [learnt, live])


class _Counts:
    """Counts of one text after another: dense for single tokens, sparse behind a context."""

    def __init__(self, vocab_size: int, order: int) -> None:
        self.order = order
        self.unigrams = np.zeros(vocab_size)
        self.distinct = 0
        self.followers: dict[tuple[int, ...], dict[int, int]] = {}

    def add(self, text: Sequence[int], end: int) -> None:
        """Count ``text[end]`` behind each context that ends before it."""
        token = text[end]
        self.distinct += self.unigrams[token] == 0
        self.unigrams[token] += 1
        for length in range(1, min(self.order - 1, end) + 1):
            after = self.followers.setdefault(tuple(text[end - length : end]), {})
            after[token] = after.get(token, 0) + 1
