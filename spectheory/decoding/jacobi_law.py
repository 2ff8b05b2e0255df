"""The exact law of speculative Jacobi decoding, by going through every cell of its random tape.

The decoder's own step runs on Fractions. Each uniform's range is cut where the step can change its
mind, one tape is taken from each cell, and cells are weighed by their length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from spectheory.decoding.fixed_length import SequenceModel, Window
from spectheory.decoding.jacobi import TAPE, jacobi_start, jacobi_step
from spectheory.errors import TooLarge
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule

TAPE_LIMIT = 200_000
"""Refuses a pass with more cells than this."""


def jacobi_law(
    model: SequenceModel, rule: VerificationRule, width: int, coupled: bool = False
) -> dict[tuple[int, ...], Fraction]:
    """Probability of every sequence that `jacobi_decode` can put out.

    Args:
        model: with laws of Fractions.
        rule: any exact rule for one draft.
        width: guesses a window.
        coupled: see `jacobi_decode`.

    Raises:
        TooLarge: more than `TAPE_LIMIT` cells in one pass.

    >>> from spectheory import rule
    >>> from spectheory.decoding.fixed_length import ByContext
    >>> third = np.array([Fraction(1, 3), Fraction(2, 3)])
    >>> law = jacobi_law(ByContext(lambda c: third, vocab_size=2, length=2), rule("rejection"), 2)
    >>> [str(law[pair]) for pair in sorted(law)]
    ['1/9', '2/9', '2/9', '4/9']
    """
    length, size = model.length, model.vocab_size
    entries = [Fraction(i, size) for i in range(1, size)]
    tapes, weights = _grid([_cells(entries)] * min(width, length), length)
    states: dict[_Key, Fraction] = defaultdict(Fraction)
    _collect(states, jacobi_start(len(tapes), length, size, width, tapes), weights)
    law: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)
    while states:
        later: dict[_Key, Fraction] = defaultdict(Fraction)
        for key, mass in states.items():
            window = _window(key)
            if key[2] == length:
                law[key[0]] += mass
                continue
            laws = model.laws(window.tokens, np.arange(1))
            cuts = _cuts(rule, laws, window, entries, coupled)
            tapes, weights = _grid([_cells(cut) for cut in cuts], length * TAPE)
            tapes = tapes.reshape(len(tapes), length, TAPE)
            many = Window(*(np.repeat(part, len(tapes), axis=0) for part in vars(window).values()))
            many_laws = np.repeat(laws, len(tapes), axis=0)
            step, _ = jacobi_step(rule, many_laws, many, width, tapes, coupled)
            _collect(later, step, [mass * weight for weight in weights])
        states = later
    return dict(law)


_Key = tuple[tuple[int, ...], tuple[Fraction, ...], int, int]


def _cuts(
    rule: VerificationRule,
    laws: np.ndarray,
    window: Window,
    entries: list[Fraction],
    coupled: bool,
) -> list[list[Fraction]]:
    """Where each uniform of a pass, in the order of the tape, can change the outcome."""
    final, end = int(window.final[0]), int(window.end[0])
    cuts: list[list[Fraction]] = []
    for place in range(laws.shape[1]):
        law = laws[0, place]
        drawn = list(np.cumsum(law)[:-1])
        if place < final:
            cuts += [[]] * TAPE
        elif place < end:
            at = (law, window.draft[0, place], window.tokens[0, place : place + 1])
            seen, again = rule.verdict(*at), Rejection().verdict(*at)
            cuts += [[seen.accept[0]], list(np.cumsum(seen.residual)[:-1]), []]
            if coupled:
                cuts += [[again.accept[0]], list(np.cumsum(again.residual)[:-1]), []]
            else:
                cuts += [[], drawn, []]
        elif place == end:  # drawn after the window, or as a guess, or entering it
            cuts += [[], [], drawn, [], drawn, entries]
        else:
            cuts += [[], [], [], [], [], entries]
    return cuts


def _cells(cuts: Iterable[Fraction]) -> list[tuple[Fraction, Fraction]]:
    """Middle and length of each cell of [0, 1) between the cuts."""
    edges = sorted({Fraction(0), Fraction(1), *(Fraction(c) for c in cuts)})
    return [((a + b) / 2, b - a) for a, b in pairwise(edges)]


def _grid(
    cells: list[list[tuple[Fraction, Fraction]]], width: int
) -> tuple[np.ndarray, list[Fraction]]:
    """``(n, width)`` one tape from each product of cells, and the products' weights."""
    count = int(np.prod([len(c) for c in cells], dtype=np.float64))
    if count > TAPE_LIMIT:
        raise TooLarge(
            f"one pass has {count:,} cells of its tape, above the limit of {TAPE_LIMIT:,}; "
            "take a smaller vocabulary or window"
        )
    tapes = np.full((count, width), Fraction(1, 2), dtype=object)
    weights = []
    for i, choice in enumerate(product(*cells)):
        weight = Fraction(1)
        for j, (point, part) in enumerate(choice):
            tapes[i, j] = point
            weight *= part
        weights.append(weight)
    return tapes, weights


def _collect(states: dict[_Key, Fraction], window: Window, weights: list[Fraction]) -> None:
    """Add the rows of a window to the states, alike rows together."""
    length = window.tokens.shape[1]
    for i, weight in enumerate(weights):
        final, end = int(window.final[i]), int(window.end[i])
        # What lies outside the drafts has no effect: zero, so that equal states are one.
        tokens = [int(t) if place < end else 0 for place, t in enumerate(window.tokens[i])]
        draft = [
            q if final <= place < end else Fraction(0)
            for place in range(length)
            for q in window.draft[i, place]
        ]
        states[tuple(tokens), tuple(draft), final, end] += weight


def _window(key: _Key) -> Window:
    tokens, draft, final, end = key
    length = len(tokens)
    laws = np.array(draft, dtype=object).reshape(1, length, -1)
    return Window(np.array([tokens]), laws, np.array([final]), np.array([end]))
