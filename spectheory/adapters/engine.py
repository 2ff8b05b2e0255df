"""What an adapter is: a real engine's verification step, and what its authors say of it."""

from __future__ import annotations

import importlib
import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from spectheory.audit.sampler import categorical
from spectheory.audit.stream_steps import Steps
from spectheory.decoding.tabular import TabularModel
from spectheory.discovery import find, named
from spectheory.errors import InputError, MissingDependency
from spectheory.verdict import inverse_transform

CELLS = 4_000_000
"""Probabilities that one call of an engine may be given."""


class Emitted(NamedTuple):
    """What one verification step of B requests emitted.

    Attributes:
        tokens: ``(B, L)``; entries from ``counts`` on are not read.
        counts: ``(B,)`` accepted drafts and one token more.
    """

    tokens: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Engine(ABC):
    """A real engine; subclasses are frozen dataclasses that carry its settings.

    A model is a table: row x is the law after token x, and a table of one row is a model without
    context.

    Class facts:
        distribution: its name on the package index.
        tested: the versions that this adapter was run with.
        reference: where its source is public.

    Attributes that an instance answers:
        key: name in tables.
        calls: the function of the engine that is called.
        claim: "law-lossless", "greedy-lossless" or "lossy", as its authors say.
        depth: drafts in a row that one step may accept.
    """

    distribution: ClassVar[str]
    tested: ClassVar[tuple[str, ...]]
    reference: ClassVar[str]
    install: ClassVar[str] = ""

    @classmethod
    def examples(cls) -> Iterator[Engine]:
        """The instances that tests and tables use."""
        yield cls()

    @property
    @abstractmethod
    def key(self) -> str: ...

    @property
    @abstractmethod
    def calls(self) -> str: ...

    @property
    def claim(self) -> str:
        return "law-lossless"

    @property
    @abstractmethod
    def depth(self) -> int: ...

    @abstractmethod
    def step(
        self, target: np.ndarray, draft: np.ndarray, contexts: np.ndarray, seed: int
    ) -> Emitted:
        """One verification step.

        Args:
            target: ``(C, V)`` float64 laws, C = V or 1.
            draft: ``(C, V)``.
            contexts: ``(B,)`` last token of each request; 0 where C = 1.
            seed: all randomness, ours and the engine's, comes from it.

        Raises:
            MissingDependency: the engine is not installed.
        """

    def version(self) -> str:
        """The version installed.

        Raises:
            MissingDependency: none.
        """
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError as error:
            raise self._missing() from error

    # -- what follows from a step --------------------------------------------------------------

    def expected_counts(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray | None:
        """``(C,)`` mean tokens of a step after each token, where the claimed rule fixes it."""
        return None

    def blocks(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Iterator[Emitted]:
        """Steps at one position without context, ``(V,)`` laws, until n tokens are emitted.

        Such tokens, one block after the other, are independent draws of the target if the engine
        is law-lossless: whether a block goes on is decided by the tokens already in it.
        """
        rng, left = np.random.default_rng(seed), n
        rows = max(1, min(1 << 16, CELLS // (target.size * (self.depth + 1))))
        while left > 0:
            contexts = np.zeros(min(rows, left), dtype=np.int64)
            emitted = self.step(target[None], draft[None], contexts, int(rng.integers(2**62)))
            left -= int(emitted.counts.sum())
            yield emitted

    def __call__(self, target: np.ndarray, draft: np.ndarray | None, n: int, seed: int) -> Any:
        """Draws for the known-target audit: all the tokens of whole blocks, up to n."""
        if draft is None:
            raise InputError(f"`{self.key}` speculates; it needs a `draft` law")
        tokens = [
            block.tokens[np.arange(block.tokens.shape[1]) < block.counts[:, None]]
            for block in self.blocks(target, draft, n, seed)
        ]
        return np.concatenate(tokens)[:n]

    def decode(
        self, target: TabularModel, draft: TabularModel, requests: int, steps: int, seed: int
    ) -> Iterator[Steps]:
        """A stream for the stream audit: ``steps`` steps of ``requests`` requests.

        Raises:
            InputError: models that look back on more than one token.
        """
        p, q = laws_by_context(target), laws_by_context(draft)
        rng, expected = np.random.default_rng(seed), self.expected_counts(p, q)
        contexts, rows = rng.integers(0, len(p), requests), np.arange(requests)
        for _ in range(steps):
            tokens, counts = self.step(p, q, contexts, int(rng.integers(2**62)))
            before = np.append(contexts[:, None], tokens[:, :-1], axis=1)
            yield Steps(
                request=rows,
                tokens=tokens,
                counts=counts,
                drafted=np.full(requests, self.depth),
                target=p[before],
                draft=self.proposal(q[before]),
                expected=None if expected is None else expected[contexts],
            )
            contexts = tokens[rows, counts - 1]

    def proposal(self, draft: np.ndarray) -> np.ndarray:
        """``(..., V)`` law that drafts are drawn from, given the draft model's."""
        return draft

    # -- finding the engine --------------------------------------------------------------------

    def load(self, module: str) -> Any:
        """The engine's module.

        Raises:
            MissingDependency: it is not installed, and the message says how to install it; or it
                is, and something that it imports is not, or its version has no such module.
        """
        version = self.version()
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise MissingDependency(
                f"`{module}` of `{self.distribution}` {version} cannot be imported: {error} "
                f"(tested: {', '.join(self.tested)})"
            ) from error

    def _missing(self) -> MissingDependency:
        command = self.install or f"pip install {self.distribution}"
        return MissingDependency(
            f"`{self.distribution}` is not installed; the adapter `{self.key}` needs `{command}` "
            f"(tested: {', '.join(self.tested)})"
        )


@cache
def engines() -> dict[str, Engine]:
    """Every adapted engine by key, installed or not.

    >>> engines()["flashspec"].calls
    'flashspec.sampling.rejection.rejection_step'
    """
    return find("spectheory.adapters", Engine)  # type: ignore[type-abstract]


def engine(key: str) -> Engine:
    """The engine with that key.

    Raises:
        UnknownName: no such engine; the message lists those there are.
    """
    return named(engines(), key, "engine")


def laws_by_context(model: TabularModel) -> np.ndarray:
    """``(V, V)``: the law after each token, by a model without context the same after all.

    Raises:
        InputError: a model that looks back on more than one token.
    """
    if model.order > 1:
        raise InputError(
            f"a table model has order {model.order}; adapters decode those of order 0 or 1"
        )
    laws = np.asarray(model.tables[-1], dtype=np.float64)
    return np.broadcast_to(laws, (model.vocab_size, model.vocab_size))


def after(table: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """``(..., V)`` laws after each of ``(...)`` tokens."""
    if len(table) > 1:
        return table[tokens]
    return np.broadcast_to(table[0], (*tokens.shape, table.shape[1]))


def draw_after(table: np.ndarray, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``(B,)`` draws, one from the law after each token."""
    uniforms = rng.random(len(tokens))
    if len(table) == 1:
        return categorical(table[0], uniforms)
    return np.asarray(inverse_transform(table[tokens], uniforms))
