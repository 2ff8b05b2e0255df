"""Speculative steps on Markov chains: exact through every drafted path, and drawn at random."""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled


@compiled(nogil=True)
def step_through_paths(
    target: np.ndarray, draft: np.ndarray, start: int, length: int, block: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One step from a state, exactly, by going through all V^length drafted paths.

    With ``A(u)`` the probability that the kept part begins with u and c its last token, both
    verifications have ``A(ux)`` in closed form: ``A(u) min(p, q)(x | c)`` for tokens one by one,
    ``min(q(ux), A(u) p(x | c))`` for blocks. What is left of ``A(u) p(x | c)`` is emitted as x
    after u, which ends the step.

    Args:
        target, draft: ``(V, V)`` transition laws.
        start: state in which the step begins.
        length: drafted tokens L.
        block: block verification, else token by token.

    Returns:
        reach: ``(L,)`` probability that at least 1, .., L tokens are kept.
        after: ``(V,)`` law of the step's last token.
    """
    size = target.shape[0]
    reach, after = np.zeros(length), np.zeros(size)
    path = np.zeros(length + 1, np.int64)  # path[0] is the start
    choice = np.zeros(length, np.int64)  # next token to try at each depth
    kept, drafted = np.ones(length + 1), np.ones(length + 1)
    path[0] = start
    depth = 0
    while depth >= 0:
        state = path[depth]
        if depth == length:
            for x in range(size):
                after[x] += kept[depth] * target[state, x]
            depth -= 1
            continue
        x = choice[depth]
        if x == size:
            choice[depth] = 0
            depth -= 1
            continue
        choice[depth] += 1
        aimed = kept[depth] * target[state, x]
        proposed = drafted[depth] * draft[state, x]
        if block:
            taken = min(proposed, aimed)
        else:
            taken = kept[depth] * min(draft[state, x], target[state, x])
        reach[depth] += taken
        after[x] += aimed - taken
        if taken > 0.0:
            depth += 1
            path[depth], kept[depth], drafted[depth] = x, taken, proposed
    return reach, after


@compiled(nogil=True)
def tokens_of_steps(
    target: np.ndarray, draft: np.ndarray, uniforms: np.ndarray, start: int, block: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Steps in a row, each begun where the last one ended, on an explicit tape.

    Args:
        target, draft: ``(V, V)`` transition laws.
        uniforms: ``(steps, 2 L + 1)``: L draft the path, L decide, one draws the last token.
        start: state before the first step.
        block: block verification, else token by token.

    Returns:
        tokens: ``(steps,)`` tokens of each step, from 1 to L + 1.
        last: ``(steps,)`` its last token.
    """
    steps, size = uniforms.shape[0], target.shape[0]
    length = uniforms.shape[1] // 2
    tokens, last = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    path, left = np.zeros(length + 1, np.int64), np.zeros(size)
    path[0] = start
    for step in range(steps):
        tape = uniforms[step]
        weight, kept, scale = 1.0, 0, 1.0
        alive = True
        for i in range(length):
            state = path[i]
            path[i + 1] = draw(draft[state], tape[i])
            p, q = target[state, path[i + 1]], draft[state, path[i + 1]]
            if not block:
                alive = alive and tape[length + i] * q < p
                kept += alive
                continue
            weight = min(1.0, weight * p / q)
            succeed = weight
            if i + 1 < length:
                mass = 0.0
                for x in range(size):
                    over = weight * target[path[i + 1], x] - draft[path[i + 1], x]
                    mass += max(over, 0.0)
                miss = mass + 1.0 - weight
                succeed = mass / miss if miss > 0.0 else weight
            if tape[length + i] < succeed:
                kept, scale = i + 1, weight
        state = path[kept]
        if kept == length:
            emitted = draw(target[state], tape[2 * length])
        else:
            if kept == 0:
                scale = 1.0
            for x in range(size):
                left[x] = max(scale * target[state, x] - draft[state, x], 0.0)
            emitted = draw(left, tape[2 * length])
        tokens[step], last[step] = kept + 1, emitted
        path[0] = emitted
    return tokens, last


@compiled(nogil=True)
def draw(mass: np.ndarray, uniform: float) -> int:
    """Token by inverse transform from masses that need not be normalised; none of mass 0."""
    goal, through, token = uniform * mass.sum(), 0.0, 0
    for x in range(mass.shape[0]):
        if mass[x] > 0.0:
            token = x
            through += mass[x]
            if goal < through:
                break
    return token
