"""Chooses how much to draft: the tree with the best expected speed-up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spectheory.cost.speedup import StepCost, speedup

Branching = tuple[int, ...]


class Plan(NamedTuple):
    """A tree and what is expected of it.

    Attributes:
        branching: draws below each draw, level by level.
        tokens: expected tokens a step.
        step: expected cost of a step.
        ratio: expected speed-up over plain decoding; below 1, drafting does not pay.
    """

    branching: Branching
    tokens: float
    step: StepCost
    ratio: float


def best_plan(
    candidates: Iterable[Branching],
    tokens: Callable[[Branching], float],
    cost: Callable[[Branching], StepCost],
    plain: StepCost,
) -> Plan:
    """The candidate with the highest expected speed-up.

    Args:
        candidates: trees to choose from, at least one.
        tokens: expected tokens a step of a tree.
        cost: expected cost of a step with a tree.
        plain: cost of a step of plain decoding.

    >>> plain = StepCost(draft=0.0, verify=1.0)
    >>> flat = lambda tree: StepCost(draft=0.1 * len(tree), verify=1.0)
    >>> plan = best_plan(chains(8), lambda t: (1 - 0.5 ** (len(t) + 1)) / 0.5, flat, plain)
    >>> len(plan.branching), round(plan.ratio, 3)
    (2, 1.458)
    """
    plans = []
    for tree in candidates:
        emitted, step = tokens(tree), cost(tree)
        plans.append(Plan(tree, emitted, step, speedup(emitted, step, plain)))
    return max(plans, key=lambda plan: plan.ratio)


def chains(longest: int) -> list[Branching]:
    """Single drafts of 1 to ``longest`` tokens."""
    return [(1,) * length for length in range(1, longest + 1)]


def sequences(counts: Iterable[int], longest: int) -> list[Branching]:
    """Independent sequences, k together, of 1 to ``longest`` tokens, for each k.

    >>> sequences([2], 2)
    [(2,), (2, 1)]
    """
    return [(count, *(1,) * (length - 1)) for count in counts for length in range(1, longest + 1)]
