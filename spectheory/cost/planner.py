"""Chooses how much to draft: the tree with the best expected speed-up, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from spectheory.cost.speedup import StepCost, speedup

Branching = tuple[int, ...]


class Plan(NamedTuple):
    """A tree and what is expected of it.

    Attributes:
        branching: draws below each draw, level by level; ``()`` is plain decoding.
        tokens: expected tokens a step.
        step: expected cost of a step.
        ratio: expected speed-up over plain decoding.
    """

    branching: Branching
    tokens: float
    step: StepCost
    ratio: float


def best_plan(
    candidates: Iterable[Sequence[int]],
    tokens: Callable[[Branching], float],
    cost: Callable[[Branching], StepCost],
) -> Plan:
    """The candidate with the highest expected speed-up; plain decoding if none is above 1.

    Args:
        candidates: trees to choose from.
        tokens: expected tokens a step of a tree.
        cost: expected cost of a step with a tree; ``()`` gives a plain step.

    >>> flat = lambda tree: StepCost(draft=0.1 * len(tree), verify=1.0)
    >>> chains = [(1,) * length for length in range(1, 9)]
    >>> plan = best_plan(chains, lambda t: (1 - 0.5 ** (len(t) + 1)) / 0.5, flat)
    >>> len(plan.branching), round(plan.ratio, 3)
    (2, 1.458)
    """
    plain = cost(())
    best = Plan((), 1.0, plain, 1.0)
    for candidate in candidates:
        tree = tuple(candidate)
        step, emitted = cost(tree), tokens(tree)
        ratio = speedup(emitted, step, plain)
        if ratio > best.ratio:
            best = Plan(tree, emitted, step, ratio)
    return best


def chains(longest: int) -> list[Branching]:
    """Single drafts of 1 to ``longest`` tokens."""
    return [(1,) * length for length in range(1, longest + 1)]


def sequences(counts: Iterable[int], longest: int) -> list[Branching]:
    """Independent sequences, k together, of 1 to ``longest`` tokens, for each k.

    >>> sequences([2], 2)
    [(2,), (2, 1)]
    """
    return [(count, *(1,) * (length - 1)) for count in counts for length in range(1, longest + 1)]
