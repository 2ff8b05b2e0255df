"""Speculative Jacobi decoding: the target's own laws of the last pass are the draft.

A window of tokens is guessed. Each pass gives the law of every token in it, under the guesses
before it. A guess is verified against the law that it was drawn from one pass earlier; the first
one that is replaced ends the round, and the guesses after it are drawn again from the new laws. No
draft model is needed.

Lossless, because a guess is independent of the guesses before it given the law it was drawn from,
so the verification rule sees a draft of just that law. Guesses that enter the window are uniform
tokens, for which a one-hot draft law is right.
"""

from __future__ import annotations

import numpy as np

from spectheory.arrays import number
from spectheory.decoding.fixed_length import Generated, SequenceModel, Window, verify_window
from spectheory.errors import InputError
from spectheory.verdict import inverse_transform
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule

TAPE = 6
"""Uniforms a position and pass: three of `verify_window`, two to draw again, one to enter."""


def jacobi_start(
    count: int, length: int, vocab_size: int, width: int, uniforms: np.ndarray
) -> Window:
    """Empty sequences with a first window of uniform guesses.

    Args:
        uniforms: ``(n, L)``, in the arithmetic in which the laws will be.
    """
    nothing = Window(
        np.zeros((count, length), dtype=np.int64),
        np.zeros((count, length, vocab_size), dtype=uniforms.dtype),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )
    return _enter(nothing, width, uniforms)


def jacobi_step(
    rule: VerificationRule,
    laws: np.ndarray,
    window: Window,
    width: int,
    uniforms: np.ndarray,
    coupled: bool = False,
) -> tuple[Window, np.ndarray]:
    """One pass: verify the guesses, draw those after the first replaced one again, let new ones in.

    Args:
        rule: how guesses are verified.
        laws: ``(n, L, V)`` target laws given the window's tokens.
        window: the guesses, with the laws they were drawn from.
        width: guesses a window.
        uniforms: ``(n, L, TAPE)`` in [0, 1); each is used at most once.
        coupled: draw again by a maximal coupling with the old guess, not independently.

    Returns:
        The next window, and ``(n,)`` guesses kept.
    """
    tokens, final, kept = verify_window(rule, laws, window, uniforms[..., :3])
    place = np.arange(tokens.shape[1])
    behind = place >= final[:, None]
    # The pass also gives the law of the token after the window, if its end was not reached.
    fresh = behind & (place == window.end[:, None])
    again = behind & (place < window.end[:, None])
    draft = window.draft.copy()
    if coupled and again.any():
        coupling = Rejection().verdict(
            laws[again], window.draft[again], window.tokens[again][:, None]
        )
        tokens[again] = coupling.sample(uniforms[again][:, 3:5]).token
    else:
        fresh = fresh | again
    tokens[fresh] = inverse_transform(laws[fresh], uniforms[fresh][:, 4])
    draft[again | fresh] = laws[again | fresh]
    # Where the end was final already, the guesses start right after it.
    end = np.maximum(final, np.minimum(window.end + 1, tokens.shape[1]))
    return _enter(Window(tokens, draft, final, end), width, uniforms[..., 5]), kept


def jacobi_decode(
    model: SequenceModel,
    count: int,
    rule: VerificationRule,
    generator: np.random.Generator,
    width: int = 8,
    coupled: bool = False,
) -> Generated:
    """Draw ``count`` sequences by speculative Jacobi decoding.

    Law-lossless if the rule is, for one draft; a lossy rule, such as grouped acceptance, makes a
    lossy decoder.

    Args:
        model: the target; there is no other model.
        count: number of sequences.
        rule: how guesses are verified.
        generator: the only source of randomness.
        width: guesses a window.
        coupled: keep the guesses after a replaced one by a maximal coupling where that is possible.

    Raises:
        InputError: no window, or a rule that needs several drafts.

    Reference: teng2025accelerating; so2025maximal for ``coupled``.

    >>> from spectheory import rule
    >>> from spectheory.decoding.fixed_length import ByContext
    >>> fair = ByContext(lambda context: np.array([0.5, 0.5]), vocab_size=2, length=8)
    >>> done = jacobi_decode(fair, 100, rule("rejection"), np.random.default_rng(0), width=4)
    >>> done.tokens.shape, done.tokens_per_call > 2
    ((100, 8), True)
    """
    if width < 1:
        raise InputError(f"`width` is {width}; a window has at least one token")
    if rule.least_drafts > 1:
        raise InputError(f"rule `{rule.key}` needs {rule.least_drafts} drafts; a guess is one")
    length = model.length
    state = jacobi_start(count, length, model.vocab_size, width, generator.random((count, length)))
    calls, accepted = np.zeros((2, count), dtype=np.int64)
    while (rows := np.flatnonzero(state.final < length)).size:
        mine = Window(state.tokens[rows], state.draft[rows], state.final[rows], state.end[rows])
        uniforms = generator.random((rows.size, length, TAPE))
        laws = model.laws(mine.tokens, rows)
        step, kept = jacobi_step(rule, laws, mine, width, uniforms, coupled)
        for part, new in zip(vars(state).values(), vars(step).values(), strict=True):
            part[rows] = new
        calls[rows] += 1
        accepted[rows] += kept
    return Generated(state.tokens, calls, calls * 0, accepted)


def _enter(window: Window, width: int, uniforms: np.ndarray) -> Window:
    """Fill the window up to ``width`` guesses with uniform tokens."""
    length, size = window.draft.shape[1:]
    place = np.arange(length)
    end = np.minimum(window.final + width, length)
    new = (place >= window.end[:, None]) & (place < end[:, None])
    guess = np.asarray(uniforms[new] * size // 1, dtype=np.int64)
    tokens, draft = window.tokens.copy(), window.draft.copy()
    tokens[new] = guess
    one_hot = guess[:, None] == np.arange(size)
    draft[new] = one_hot.astype(draft.dtype) * number(1, draft)
    return Window(tokens, draft, window.final, np.maximum(window.end, end))
