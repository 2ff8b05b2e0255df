"""The exact law of a decoder's output, by running it on every outcome of every random choice.

The loop itself is run, caches, rollback and all; only its tape is replaced. On tabular models of
Fractions the result is exact, so "law-lossless over n tokens" is an equality and not a test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from spectheory.arrays import Array
from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.tape import Key, Tape
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import TooLarge
from spectheory.verdict import Verdict
from spectheory.verification.block import BlockVerdict

RUN_LIMIT = 2_000_000
"""Enumeration refuses more runs of the decoder than this."""


class KeyReuse(AssertionError):
    """A decoder asked for one random number twice."""


class ScriptedTape(Tape):
    """A tape that follows a script of choices and takes the first outcome beyond its end.

    Attributes:
        probability: of the choices made so far.
        made: the choices made.
        options: how many outcomes each of them had.
    """

    def __init__(self, script: Sequence[int]) -> None:
        super().__init__(0)
        self.script = script
        self.probability: Any = Fraction(1)
        self.made: list[int] = []
        self.options: list[int] = []
        self._used: set[Key] = set()

    def drafts(self, scheme: DraftScheme, law: Array, count: int, key: Key) -> list[int]:
        """See `Tape.drafts`."""
        tuples, probability = scheme.law(law, count)
        return [int(token) for token in tuples[self._choose(probability, key)]]

    def output(self, verdict: Verdict, key: Key) -> int:
        """See `Tape.output`; every slot, and every token of the residual, is its own outcome."""
        masses, k = verdict.masses(), verdict.accept.shape[-1]
        outcomes = np.concatenate([masses[:k], masses[k] * verdict.residual])
        chosen = self._choose(outcomes, key)
        return int(verdict.drafts[chosen]) if chosen < k else chosen - k

    def block(self, verdict: BlockVerdict, key: Key) -> tuple[int, int]:
        """See `Tape.block`."""
        joint = verdict.kept[:, None] * verdict.correction
        kept, token = np.unravel_index(self._choose(joint.reshape(-1), key), joint.shape)
        return int(kept), int(token)

    def token(self, law: Array, key: Key) -> int:
        """See `Tape.token`."""
        return self._choose(law, key)

    def _choose(self, probability: Array, key: Key) -> int:
        if key in self._used:
            raise KeyReuse(f"{key} was drawn twice")
        self._used.add(key)
        possible = np.flatnonzero(np.asarray(probability > 0, dtype=bool))
        turn = len(self.made)
        choice = self.script[turn] if turn < len(self.script) else 0
        self.made.append(choice)
        self.options.append(len(possible))
        chosen = int(possible[choice])
        self.probability = self.probability * probability[chosen]
        return chosen


def exact_output(
    decoder: Decoder, request: Callable[[Tape], Request]
) -> dict[tuple[int, ...], Fraction]:
    """Probability of every output of one request.

    Args:
        decoder: over models whose laws are Fractions (floats work, up to rounding).
        request: makes the request with a given tape.

    Raises:
        TooLarge: more than `RUN_LIMIT` runs.
        KeyReuse: the decoder read a random number twice.

    >>> from spectheory.decoding.tabular import TabularModel
    >>> coin = TabularModel([np.array([Fraction(1, 3), Fraction(2, 3)])])
    >>> law = exact_output(Decoder(coin), lambda tape: Request([0], 1, tape=tape))
    >>> {tokens: str(mass) for tokens, mass in law.items()}
    {(0,): '1/3', (1,): '2/3'}
    """
    law: dict[tuple[int, ...], Fraction] = {}
    script: list[int] = []
    for _ in range(RUN_LIMIT):
        tape = ScriptedTape(script)
        [done] = decoder.generate([request(tape)])
        tokens = tuple(done.tokens)
        law[tokens] = law.get(tokens, Fraction(0)) + tape.probability
        # The next script: the last choice that has another outcome takes it.
        script = tape.made
        while script and script[-1] + 1 == tape.options[len(script) - 1]:
            script.pop()
        if not script:
            return law
        script[-1] += 1
    raise TooLarge(f"more than {RUN_LIMIT:,} runs; fewer tokens or a smaller vocabulary?")
