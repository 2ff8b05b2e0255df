"""What a stream audit reads: the verification steps of many requests, some at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spectheory.distributions import check_pmf
from spectheory.errors import ShapeError

CELLS = 1 << 20
"""Probabilities that are checked at once."""


class Steps(NamedTuple):
    """One verification step each of B requests, or several in the order they happened.

    A step emits accepted drafts and then one token more, a replacement or, after the last draft, a
    bonus token: ``counts = accepted + 1`` unless the text ended inside the step. L is the most
    tokens that a step of this batch emits; entries beyond a step's own count are not read.

    Attributes:
        request: ``(B,)`` integer, which request each step belongs to.
        tokens: ``(B, L)`` emitted tokens.
        counts: ``(B,)`` how many of them.
        drafted: ``(B,)`` how many drafts the step had; 0 without speculation.
        target: ``(B, L, V)`` law that each token should have, given the tokens before it.
        draft: ``(B, L, V)`` draft law at the same place, or None. Rows without a draft are not
            read.
        batch: ``(B,)`` batch size of the engine in that step, or None.
        expected: ``(B,)`` mean of ``counts`` under the rule that the engine claims, given the text
            before the step; over the numbers of drafts too where the drafter may stop after a
            token. Or None.
    """

    request: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    drafted: np.ndarray
    target: np.ndarray
    draft: np.ndarray | None = None
    batch: np.ndarray | None = None
    expected: np.ndarray | None = None

    def rows(self, chosen: slice) -> Steps:
        """Some of the steps."""
        return Steps._make(None if part is None else part[chosen] for part in self)

    def check(self) -> Steps:
        """The steps, if their shapes agree and their laws are laws.

        Raises:
            ShapeError: shapes do not, or a step emits nothing or more than its drafts and one.
            DistributionError: rows that are read and hold no laws.
        """
        rows, length = self.tokens.shape
        size = self.target.shape[-1]
        wanted = {
            "request": (rows,),
            "counts": (rows,),
            "drafted": (rows,),
            "target": (rows, length, size),
            "draft": (rows, length, size),
            "batch": (rows,),
            "expected": (rows,),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ShapeError(f"`{name}` has shape {value.shape}; expected {shape}")
        if rows and not (
            self.counts.min() >= 1
            and self.counts.max() <= length
            and (self.counts <= self.drafted + 1).all()
        ):
            raise ShapeError(
                "`counts` must lie between 1 and the smaller of the width of `tokens` and "
                "`drafted + 1`: a step emits its accepted drafts and one token more"
            )
        place = np.arange(length)
        read = place < self.counts[:, None]
        emitted = self.tokens[read]
        if emitted.size and not 0 <= emitted.min() <= emitted.max() < size:
            raise ShapeError(
                f"`tokens` holds {emitted.min()} to {emitted.max()}; the laws have tokens 0 to "
                f"{size - 1}"
            )
        _check_laws("target", self.target, read)
        if self.draft is not None:
            _check_laws("draft", self.draft, read & (place < self.drafted[:, None]))
        return self


def _check_laws(name: str, laws: np.ndarray, read: np.ndarray) -> None:
    """Refuse rows of ``(B, L, V)`` that are no laws, some steps at a time."""
    steps = max(1, CELLS // max(1, laws[:1].size))
    for first in range(0, len(laws), steps):
        some = slice(first, first + steps)
        if read[some].any():
            check_pmf(name, laws[some][read[some]])
