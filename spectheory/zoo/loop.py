"""A speculative decoding loop over table models, for mistakes that couple one step to the next.

Many requests are decoded at once. A step drafts ``gamma`` tokens, verifies them token by token or
as a block, and emits the kept ones and one more; an entry overrides the one method that its mistake
sits in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from spectheory.arrays import capped_ratio, pick
from spectheory.audit.sampler import Draws
from spectheory.audit.stream_steps import Steps
from spectheory.decoding.tabular import TabularModel
from spectheory.distributions import residual, temper
from spectheory.verdict import inverse_transform
from spectheory.verification.block import block_verification
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import Sight, ZooEntry
from spectheory.zoo.keys import Keys

VOCABULARY, ORDER = 5, 2
CELLS = 4_000_000
"""Probabilities that a chunk of single steps may hold at once."""


class Views(NamedTuple):
    """The last tokens of each request, ``(R, order)``, as the text and each model's cache have it.

    They are the same unless a cache is stale.
    """

    text: np.ndarray
    target: np.ndarray
    draft: np.ndarray


class Block(NamedTuple):
    """A drafted block with the laws that verification reads.

    Attributes:
        path: ``(R, gamma)`` drafts.
        target: ``(R, gamma + 1, V)``.
        draft: ``(R, gamma, V)``.
    """

    path: np.ndarray
    target: np.ndarray
    draft: np.ndarray


@dataclass(frozen=True)
class StreamEntry(ZooEntry):
    """A loop with a mistake; mended, its tokens have the target's law, one after the other.

    Called like a single-step sampler it starts n requests and returns each one's first token,
    which is right: what is wrong comes later.

    Class facts:
        block: whether verification is of whole blocks.

    Attributes:
        gamma: drafts a step.
    """

    seen_by: ClassVar[Sight] = Sight.STREAM
    block: ClassVar[bool] = False

    gamma: int = 3

    # -- where mistakes sit ------------------------------------------------------------------

    def keys(self, rng: np.random.Generator) -> Keys:
        """How random numbers are handed out."""
        return Keys(rng)

    def rows(self, laws: np.ndarray) -> np.ndarray:
        """``(R, gamma + 1, V)`` target laws, each at the row where verification reads it."""
        return laws

    def correction(self, block: Block, kept: np.ndarray) -> np.ndarray:
        """``(R, V)`` law of the token after the kept drafts."""
        if self.block:
            laws = block_verification(block.target, block.draft, block.path).correction
            return np.asarray(laws[np.arange(len(kept)), kept])
        return token_correction(block, kept)

    def commit(self, views: Views, block: Block, tokens: np.ndarray, kept: np.ndarray) -> Views:
        """The views after a step that emitted ``tokens[:, : kept + 1]``."""
        return Views(*(advance(view, tokens, kept + 1) for view in views))

    # -- the loop ----------------------------------------------------------------------------

    def models(self) -> tuple[TabularModel, TabularModel]:
        """Target and draft: two sharp random models of order 2 over five tokens."""
        rng = np.random.default_rng(11)
        target, draft = (TabularModel.random(VOCABULARY, ORDER, rng, exact=False) for _ in "tq")
        return sharpened(target), sharpened(draft)

    def decode(self, requests: int, steps: int, seed: int) -> Iterator[Steps]:
        """``steps`` steps of ``requests`` requests over `models`, with exact laws."""
        target, draft = self.models()
        expected = expected_counts(target, draft, self.gamma, self.block)
        rng = np.random.default_rng(seed)
        start = rng.integers(0, target.vocab_size, (requests, target.order))
        yield from self._decode(target, draft, expected, start, steps, rng)

    def _decode(
        self,
        target: TabularModel,
        draft: TabularModel,
        expected: np.ndarray,
        start: np.ndarray,
        steps: int,
        rng: np.random.Generator,
    ) -> Iterator[Steps]:
        methods = StreamEntry if self.mended else type(self)
        views = Views(start, start, start)
        keys = methods.keys(self, rng)
        requests = np.arange(len(start))
        for _ in range(steps):
            keys.draw(len(start), self.gamma, target.vocab_size)
            block = self._draft(views, target, draft, keys)
            block = block._replace(target=methods.rows(self, block.target))
            kept = self._kept(block, keys.uniforms)
            law = methods.correction(self, block, kept)
            tokens = np.append(block.path, np.zeros_like(kept)[:, None], axis=1)
            tokens[requests, kept] = inverse_transform(law, rng.random(len(kept)))
            yield Steps(
                request=requests,
                tokens=tokens,
                counts=kept + 1,
                drafted=np.full(len(kept), self.gamma),
                target=along(target, views.text, tokens),
                draft=along(draft, views.text, tokens),
                expected=lookup(expected, views.text),
            )
            views = methods.commit(self, views, block, tokens, kept)
            keys.advance(kept + 1)

    def _draft(self, views: Views, target: TabularModel, draft: TabularModel, keys: Keys) -> Block:
        """Gumbel-max drafts along each request's path, and both models' laws there."""
        seen, path, laws = views.draft, [], []
        for row in range(self.gamma):
            law = lookup(draft.tables[-1], seen)
            with np.errstate(divide="ignore"):
                token = np.argmax(np.log(law) + keys.noise[:, row], axis=-1)
            laws.append(law)
            path.append(token)
            seen = advance(seen, token[:, None], np.ones_like(token))
        drafts = np.stack(path, axis=1)
        ahead = np.append(drafts, drafts[:, :1], axis=1)  # the last column is not read
        return Block(drafts, along(target, views.target, ahead), np.stack(laws, axis=1))

    def _kept(self, block: Block, uniforms: np.ndarray) -> np.ndarray:
        """How many drafts are kept: up to the first failure, or the longest block that passes."""
        if not self.block:
            ratio = capped_ratio(
                pick(block.target[:, :-1], block.path), pick(block.draft, block.path)
            )
            return np.cumprod(uniforms < ratio, axis=1).sum(axis=1)
        kept = block_verification(block.target, block.draft, block.path).kept
        through = np.cumsum(kept, axis=1)  # P(no longer prefix passes)
        passes = np.divide(kept, through, out=np.ones_like(kept), where=through > 0)[:, 1:]
        lengths = np.arange(1, self.gamma + 1)
        return np.asarray(np.max(np.where(uniforms < passes, lengths, 0), axis=1))

    # -- the first step alone ----------------------------------------------------------------

    def single_step(
        self, target: np.ndarray, draft: np.ndarray, n: int, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Tokens at each row of the first step of n requests, by models without context."""
        rng = np.random.default_rng(seed)
        models = TabularModel([target]), TabularModel([draft])
        rows: list[list[np.ndarray]] = [[] for _ in range(self.gamma + 1)]
        chunk = max(1, CELLS // (target.size * (self.gamma + 1)))
        for first in range(0, n, chunk):
            start = np.zeros((min(chunk, n - first), 0), dtype=np.int64)
            (step,) = self._decode(*models, np.zeros(()), start, 1, rng)
            for row, tokens in enumerate(rows):
                tokens.append(step.tokens[step.counts > row, row])
        return tuple(np.concatenate(tokens) for tokens in rows)

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        return Draws(self.single_step(target, draft, n, seed)[0], None)

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return target

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair(16, 2.0)


def sharpened(model: TabularModel) -> TabularModel:
    """The model at half its temperature."""
    return TabularModel([temper(table, 0.5) for table in model.tables])


def token_correction(block: Block, kept: np.ndarray) -> np.ndarray:
    """``(R, V)`` residual of the first rejected row, or the target's law after the last draft."""
    requests = np.arange(len(kept))
    last = kept == block.path.shape[1]
    row = np.minimum(kept, block.path.shape[1] - 1)
    left = residual(block.target[requests, row], block.draft[requests, row])
    return np.where(last[:, None], block.target[:, -1], left)


def lookup(table: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    """``(R, ...)`` entries of a ``(V, .., V, ...)`` table at ``(R, order)`` contexts."""
    found = table[tuple(contexts.T)]
    if contexts.shape[1] == 0:  # one entry for all
        found = np.broadcast_to(table, (len(contexts), *table.shape))
    return np.asarray(found)


def along(model: TabularModel, contexts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """``(R, L, V)`` laws of each of ``(R, L)`` tokens, given the context and the tokens before."""
    text = np.append(contexts, tokens, axis=1)
    laws = [
        lookup(model.tables[-1], text[:, row : row + model.order]) for row in range(tokens.shape[1])
    ]
    return np.stack(laws, axis=1)


def advance(view: np.ndarray, tokens: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``(R, order)`` view after appending the first ``counts`` of ``(R, L)`` tokens."""
    text = np.append(view, tokens, axis=1)
    return np.take_along_axis(text, counts[:, None] + np.arange(view.shape[1]), axis=1)


def expected_counts(
    target: TabularModel, draft: TabularModel, gamma: int, block: bool
) -> np.ndarray:
    """``(V,) * order`` mean tokens of a right step at each context, over every drafted path."""
    size, order = target.vocab_size, target.order
    grid = np.indices((size,) * (order + gamma)).reshape(order + gamma, -1).T
    contexts, path = grid[:, :order], grid[:, order:]
    p = along(target, contexts, np.append(path, path[:, :1], axis=1))
    q = along(draft, contexts, path)
    if block:
        kept = block_verification(p, q, path).kept
    else:
        passes = np.cumprod(capped_ratio(pick(p[:, :-1], path), pick(q, path)), axis=1)
        reach = np.append(np.ones((len(path), 1)), passes, axis=1)
        kept = reach - np.append(passes, np.zeros((len(path), 1)), axis=1)
    counts = np.prod(pick(q, path), axis=1) * (kept @ np.arange(1, gamma + 2))
    return counts.reshape((size,) * order + (-1,)).sum(axis=-1)
