"""A language model given by exact tables: the oracle that decoders are tested against."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from spectheory.arrays import is_exact
from spectheory.decoding.model import check_tokens
from spectheory.decoding.session import TextSession
from spectheory.distributions import check_pmf
from spectheory.errors import InputError, ShapeError


class TabularModel:
    """A Markov model of order m: the next token depends on the last m tokens only.

    ``tables[j]`` has shape ``(V,) * (j + 1)`` and serves contexts of exactly j tokens (j < m, at
    the start of a text) or of at least m (the last table). Entries are ``Fraction`` or float64.

    Attributes:
        name: for tables and messages.
        order: m.
        vocab_size: V.
        context: None, since any text can be looked back on.
        tables: as above.

    >>> half = Fraction(1, 2)
    >>> start = np.array([half, half])
    >>> after = np.array([[half, half], [Fraction(1), Fraction(0)]])
    >>> model = TabularModel([start, after])
    >>> [str(mass) for mass in model.law([0, 1])]
    ['1', '0']
    >>> model.logits([0, 1])
    array([[-0.69314718, -0.69314718],
           [ 0.        ,        -inf]])
    """

    def __init__(self, tables: Sequence[np.ndarray], name: str = "tabular") -> None:
        if not len(tables):
            raise ShapeError("`tables` is empty; expected one table for each context length")
        self.name = name
        self.vocab_size = int(tables[0].shape[-1])
        self.order = len(tables) - 1
        self.context: int | None = None
        self.tables = tuple(tables)
        for length, table in enumerate(tables):
            if table.shape != (self.vocab_size,) * (length + 1):
                raise ShapeError(
                    f"`tables[{length}]` has shape {table.shape}; expected "
                    f"{(self.vocab_size,) * (length + 1)}: {length} tokens of context, next"
                )
            check_pmf(f"tables[{length}]", table)

    @classmethod
    def random(
        cls,
        vocab_size: int,
        order: int,
        generator: np.random.Generator,
        *,
        resolution: int = 12,
        zeros: float = 0.0,
        exact: bool = True,
        name: str = "tabular",
    ) -> TabularModel:
        """A random model; the same generator state gives the same model, exact or not.

        Args:
            vocab_size: V.
            order: m.
            generator: the only source of randomness.
            resolution: weights are integers from 1 to this, so that Fractions stay short.
            zeros: chance that a token cannot follow a context (one token always can).
            exact: ``Fraction`` tables, else float64.
            name: the model's name.

        Raises:
            InputError: ``zeros`` outside [0, 1], or a vocabulary, order or resolution too small.
        """
        if not 0 <= zeros <= 1:
            raise InputError(f"`zeros` is {zeros}; expected a probability")
        if vocab_size < 1 or order < 0 or resolution < 1:
            raise InputError(
                f"`vocab_size`, `order`, `resolution` are {vocab_size}, {order}, {resolution}; "
                "expected at least 1, 0, 1"
            )
        tables = []
        for length in range(order + 1):
            shape = (vocab_size,) * (length + 1)
            weights = generator.integers(1, resolution + 1, shape)
            dropped = generator.random(shape) < zeros
            kept = generator.integers(0, vocab_size, shape[:-1])
            np.put_along_axis(dropped, kept[..., None], False, axis=-1)
            weights[dropped] = 0
            totals = weights.sum(axis=-1, keepdims=True)
            if exact:
                fractions = np.frompyfunc(lambda w, s: Fraction(int(w), int(s)), 2, 1)
                tables.append(fractions(weights, totals))
            else:
                tables.append(weights / totals)
        return cls(tables, name)

    def law(self, context: Any) -> np.ndarray:
        """``(V,)`` exact law of the token after ``context``, which may be empty.

        Raises:
            TokenError: ids outside the vocabulary, or no integers.
        """
        if len(context):
            context = check_tokens(context, self.vocab_size)
        length = min(len(context), self.order)
        law = self.tables[length][tuple(int(t) for t in context[len(context) - length :])]
        return np.asarray(law)

    def session(self, texts: int) -> TextSession:
        """A session over empty texts whose laws are the tables' own, exact if they are."""
        return TextSession(self.law, texts)

    def logits(self, tokens: Any) -> np.ndarray:
        """``(T, V)`` float64 logarithms of `law`; see `LanguageModel.logits`."""
        tokens = check_tokens(tokens, self.vocab_size)
        laws = np.stack([self.law(tokens[: t + 1]) for t in range(len(tokens))])
        if is_exact(laws):
            laws = laws.astype(np.float64)
        with np.errstate(divide="ignore"):  # log 0 = -inf is what a masked token is
            return np.log(laws)
