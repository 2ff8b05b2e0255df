"""Speculative generation of whole images: draft a block, test it, keep what stands, repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spectheory.continuous.path_chain import Path
from spectheory.continuous.path_rule import PathRule
from spectheory.digits.data import CLASSES, PIXELS, TOKENS
from spectheory.digits.diffusion_chain import Sampler
from spectheory.errors import InputError


class Generated(NamedTuple):
    """Images and what they took.

    Attributes:
        tokens: ``(n, 16, 4)``.
        tested: ``(n,)`` drafts up to and including the first rejected one of each block; without
            truncation, all drafts.
        accepted: ``(n,)`` of those, how many stood.
        drafted: ``(n,)`` draft tokens made.
        cycles: ``(n,)`` rounds of draft and verification, each one target pass.
        made: ``(n,)`` tokens that these rounds made, all but the pre-fill.
        proposals: ``(n,)`` target draws for replacements.
    """

    tokens: np.ndarray
    tested: np.ndarray
    accepted: np.ndarray
    drafted: np.ndarray
    cycles: np.ndarray
    made: np.ndarray
    proposals: np.ndarray

    @property
    def acceptance(self) -> float:
        """Share of the tested drafts that stood."""
        return float(self.accepted.sum() / max(1, self.tested.sum()))

    @property
    def tokens_per_cycle(self) -> float:
        """Tokens a target pass, the pre-fill left out."""
        return float(self.made.sum() / max(1, self.cycles.sum()))


def generate(
    target: Sampler,
    draft: Sampler,
    labels: np.ndarray,
    rule: PathRule,
    rng: np.random.Generator,
    *,
    block: int = 4,
    prefill: int = 0,
    truncate: bool = True,
    progress: Callable[[float], None] = lambda _: None,
) -> Generated:
    """Images of the given digits, the target's law if the rule is lossless and ``truncate`` is on.

    Each round, the draft proposes up to ``block`` tokens one after another and the target tests
    them at once. The first rejected one is replaced and the rest of the block dropped; if all
    stand, the target adds a token of its own.

    Args:
        target: model whose images these are to be.
        draft: model that proposes.
        labels: ``(n,)`` digits, 0 to 9.
        rule: tests a token.
        rng: of all randomness.
        block: drafts a round.
        prefill: tokens that the target makes alone at the start.
        truncate: drop what follows a rejection. If False, rejected tokens are replaced where they
            stand and what was drafted after them stays, although it was conditioned on them: lossy
            whatever the rule.
        progress: called with the number of tokens done.

    Raises:
        InputError: labels that are no digits, no block, or more pre-fill than tokens.
        EmptyResidual: see `PathRule.draw`.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not _digits(labels):
        raise InputError(f"`labels` is {labels!r}; expected a row of digits 0 to {CLASSES - 1}")
    if block < 1 or not 0 <= prefill <= TOKENS:
        raise InputError(
            f"`block` is {block} and `prefill` {prefill}; expected at least 1, and 0 to {TOKENS}"
        )
    n = len(labels)
    tokens = np.zeros((n, TOKENS, PIXELS))
    tested, accepted, drafted, cycles, proposals = (np.zeros(n, dtype=np.int64) for _ in range(5))
    every = np.arange(n)
    for position in range(prefill):
        _plain(target, tokens, labels, every, np.full(n, position), rng)
        progress(n * (position + 1))
    at = np.full(n, prefill)
    while len(active := np.flatnonzero(at < TOKENS)):
        cycles[active] += 1
        drafts = [
            _propose(draft, tokens, labels, active, at, offset, rule, rng)
            for offset in range(min(block, TOKENS - int(at.min())))
        ]
        rows = np.concatenate([rows for rows, _ in drafts])
        offsets = np.repeat(np.arange(len(drafts)), [len(rows) for rows, _ in drafts])
        path = Path(*(np.concatenate(parts) for parts in zip(*(p for _, p in drafts), strict=True)))
        found = rule.examine(
            target.chain(tokens, labels, rows, at[rows] + offsets),
            draft.chain(tokens, labels, rows, at[rows] + offsets),
            path,
            rng,
        )
        fallen = ~found.accepted
        length = np.bincount(rows, minlength=n)
        first = length.copy()  # offset of the first rejection, or the length
        np.minimum.at(first, rows[fallen], offsets[fallen])
        if truncate:
            fallen &= offsets == first[rows]
        replaced = np.flatnonzero(fallen)
        if len(replaced):
            sample, spent = found.redraw(replaced)
            tokens[rows[replaced], at[rows[replaced]] + offsets[replaced]] = sample
            np.add.at(proposals, rows[replaced], spent)
        drafted += length
        if truncate:
            accepted += first
            tested += np.minimum(first + 1, length)
            done = first + (first < length)
        else:
            accepted += np.bincount(rows[found.accepted], minlength=n)
            tested += length
            done = length
        at += done
        whole = active[(first == length)[active] & (at[active] < TOKENS)]
        if truncate and len(whole):
            _plain(target, tokens, labels, whole, at[whole], rng)
            at[whole] += 1
        progress(int(at.sum()))
    made = np.full(n, TOKENS - prefill)
    return Generated(tokens, tested, accepted, drafted, cycles, made, proposals)


def plain(
    model: Sampler,
    labels: np.ndarray,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _: None,
) -> np.ndarray:
    """``(n, 16, 4)`` images of a model alone, token by token."""
    tokens = np.zeros((len(labels), TOKENS, PIXELS))
    every = np.arange(len(labels))
    for position in range(TOKENS):
        _plain(model, tokens, labels, every, np.full(len(labels), position), rng)
        progress(len(labels) * (position + 1))
    return tokens


def _plain(
    model: Sampler,
    tokens: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    positions: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Fill in one token a row from the model itself."""
    chain = model.chain(tokens, labels, rows, positions)
    tokens[rows, positions] = chain.run(chain.tape(len(rows), rng))[:, 0]


def _propose(
    draft: Sampler,
    tokens: np.ndarray,
    labels: np.ndarray,
    active: np.ndarray,
    at: np.ndarray,
    offset: int,
    rule: PathRule,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Path]:
    """Draft the token ``offset`` places on, for the rows that have one; it is written in."""
    rows = active[at[active] + offset < TOKENS]
    path = rule.propose(draft.chain(tokens, labels, rows, at[rows] + offset), len(rows), rng)
    tokens[rows, at[rows] + offset] = path.sample
    return rows, path


def _digits(labels: np.ndarray) -> bool:
    return bool(len(labels) and labels.min() >= 0 and labels.max() < CLASSES)
