"""The random numbers of one request, addressed by what they are for.

Every draw has a key (step, purpose, row), and the request's seed picks the stream. A step is one
pass of the target, so a number is never read twice: keys by position in the text would be read
again after a rejection, already conditioned on what it decided.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from spectheory.arrays import Array
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError
from spectheory.verdict import Verdict, inverse_transform
from spectheory.verification.block import BlockVerdict


class Purpose(IntEnum):
    """What a draw decides."""

    DRAFT = 0
    VERDICT = 1
    BLOCK = 2
    TOKEN = 3


class Key(NamedTuple):
    """The address of a draw: the step, its purpose, and the tree node (root 0) it is made at."""

    step: int
    purpose: Purpose
    row: int


class Tape:
    """Counter-based uniforms: the same seed gives the same draws in any batch and any order.

    For one thread at a time: the generator is put to a key's place before it draws.

    Args:
        seed: of the request, 0 to 2**64 - 1.

    >>> tape = Tape(7)
    >>> key = Key(0, Purpose.TOKEN, 0)
    >>> bool((tape.uniforms(key, 2) == Tape(7).uniforms(key, 2)).all())
    True
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 2**64:
            raise InputError(f"`seed` is {seed}; expected 0 to 2**64 - 1")
        self.seed = seed

    def uniforms(self, key: Key, count: int) -> np.ndarray:
        """``(count,)`` float64 in [0, 1)."""
        # Put at the key's place: one made anew would first ask the system for entropy.
        numbers, place = self._numbers
        place["state"]["counter"] = (0, key.row, key.purpose, key.step)
        numbers.bit_generator.state = place
        return numbers.random(count)

    @cached_property
    def _numbers(self) -> tuple[np.random.Generator, Any]:
        """The stream, and its state before any number was drawn."""
        philox = np.random.Philox(key=np.array([self.seed, 0], np.uint64))
        return np.random.Generator(philox), philox.state

    def drafts(self, scheme: DraftScheme, law: Array, count: int, key: Key) -> list[int]:
        """``count`` draft tokens from ``law`` by ``scheme``."""
        uniforms = self.uniforms(key, scheme.tape_length(count))
        return [int(token) for token in scheme.sample(law, count, uniforms)]

    def output(self, verdict: Verdict, key: Key) -> int:
        """The token of a verdict."""
        return int(verdict.sample(self.uniforms(key, verdict.accept.shape[-1] + 1)).token)

    def block(self, verdict: BlockVerdict, key: Key) -> tuple[int, int]:
        """How many tokens of the path are kept, and the token that follows them."""
        pick, draw = self.uniforms(key, 2)
        kept = int(inverse_transform(verdict.kept, np.asarray(pick)))
        return kept, int(inverse_transform(verdict.correction[kept], np.asarray(draw)))

    def token(self, law: Array, key: Key) -> int:
        """One token from ``law``."""
        return int(inverse_transform(law, self.uniforms(key, 1)[0]))
