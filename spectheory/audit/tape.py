"""The exact output law of a program that draws on a tape: every path is walked.

A sampler that asks a `Tape` for its randomness, instead of a generator, can be run along each of
its paths in turn. On Fractions the law that comes out is exact, whatever the program does in
between.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

from spectheory.arrays import Array
from spectheory.distributions import check_pmf
from spectheory.errors import InputError, TooLarge

PATH_LIMIT = 2_000_000
"""Paths that are walked at most."""

Output = TypeVar("Output", bound=Hashable)


class Tape:
    """Random choices of one path, in the order they are asked for."""

    def __init__(self, path: list[int]) -> None:
        self._path = path
        self._at = 0
        self._branches: list[list[int]] = []
        self.probability: Any = 1

    def draw(self, law: Array) -> int:
        """A token of a ``(V,)`` law, which may be exact."""
        check_pmf("law", law)
        return self._choose([(x, law[x]) for x in range(law.shape[-1]) if law[x] > 0])

    def accept(self, probability: float | Fraction) -> bool:
        """Whether an event of this probability happens, as ``u < probability`` decides it.

        Raises:
            InputError: it is below 0 or not a number; above 1 it is taken for 1, as ``u`` does.
        """
        if not probability >= 0:
            raise InputError(f"`probability` is {probability}; expected a number >= 0")
        taken = min(probability, type(probability)(1))
        outcomes = [(1, taken), (0, 1 - taken)]
        return bool(self._choose([(x, mass) for x, mass in outcomes if mass > 0]))

    def _choose(self, outcomes: list[tuple[int, Any]]) -> int:
        if self._at == len(self._path):
            self._path.append(outcomes[0][0])
        chosen = self._path[self._at]
        mass = dict(outcomes).get(chosen)
        if mass is None:
            raise InputError(
                "the program took another path on the same tape; its randomness must all come "
                "from the tape"
            )
        places = [x for x, _ in outcomes]
        self._branches.append(places[places.index(chosen) + 1 :])
        self._at += 1
        self.probability = self.probability * mass
        return chosen

    def next_path(self) -> list[int] | None:
        """The path to walk after this one, None after the last."""
        for depth in range(self._at - 1, -1, -1):
            if self._branches[depth]:
                return [*self._path[:depth], self._branches[depth][0]]
        return None


def walk(program: Callable[[Tape], Output]) -> Iterator[tuple[Output, Any]]:
    """Every path of a program: its output and probability; outputs may repeat.

    Raises:
        TooLarge: more than `PATH_LIMIT` paths.
        InputError: the program draws randomness elsewhere.
    """
    path: list[int] | None = []
    walked = 0
    while path is not None:
        tape = Tape(path)
        output = program(tape)
        yield output, tape.probability
        path, walked = tape.next_path(), walked + 1
        if walked >= PATH_LIMIT and path is not None:
            raise TooLarge(f"the program has over {PATH_LIMIT:,} paths; use a smaller vocabulary")


def output_law(program: Callable[[Tape], Output]) -> dict[Output, Any]:
    """Exact law of a program's output, by output.

    >>> import numpy as np
    >>> p, q = (np.array([Fraction(a, 10), Fraction(10 - a, 10)]) for a in (3, 6))
    >>> def always_residual_from_target(tape):
    ...     x = tape.draw(q)
    ...     return x if tape.accept(p[x] / q[x]) else tape.draw(p)
    >>> {x: str(mass) for x, mass in output_law(always_residual_from_target).items()}
    {0: '39/100', 1: '61/100'}
    """
    law: dict[Output, Any] = {}
    for output, mass in walk(program):
        law[output] = law.get(output, 0) + mass
    return law
