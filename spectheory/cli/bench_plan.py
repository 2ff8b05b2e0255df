"""Plans each configuration from measured costs and logged acceptance, on texts set apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.cli.bench_cells import Choice, run_choice
from spectheory.cost.latency import LatencyTable, measure_latency
from spectheory.cost.planner import Branching, best_plan, sequences
from spectheory.cost.speedup import (
    PHASES,
    StepCost,
    acceptance_for,
    mean_cost,
    starts_along,
    tree_size,
)
from spectheory.decoding.foresight import LoggedAcceptance, logged_acceptance
from spectheory.decoding.session import Nodes
from spectheory.drafting.scheme import scheme
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.transformer import TransformerModel

LONGEST = 6
"""Longest draft that is considered."""

GOALS = (1.0, 1.6)
"""Ratios to plain decoding for which the acceptance that they take is told."""

WARM_UP = 8
"""Tokens emitted untimed before any are timed: the first ones may wait for a compiler."""

PROBES = (1, 4)
"""Lengths of the drafts whose costs are measured; those of others lie on the line through them."""


def target_latency(
    target: TransformerModel,
    contexts: Sequence[int],
    most: int,
    repeats: int,
    done: Callable[[float], None],
) -> LatencyTable:
    """Seconds of a pass of the target over 1 to ``most`` tokens, logits of all of them included."""

    def prepare(context: int) -> Any:
        session = target.session(1)
        session.extend([Nodes.chain([1] * context, 0)])
        session.keep([range(context)])
        return session

    def run(session: Any, tokens: int) -> None:
        session.extend([Nodes.chain([1] * tokens, tokens)])
        session.keep([[]])

    return measure_latency(prepare, run, contexts, range(1, most + 1), repeats, done)


def passes(target: TransformerModel, count: int = 64) -> None:
    """Passes over one token: a core that is as busy with the weights as decoding keeps it."""
    session = target.session(1)
    session.extend([Nodes.chain([1], 0)])
    session.keep([[0]])
    for _ in range(count):
        session.extend([Nodes.chain([1], 1)])
        session.keep([[]])


def calibrate(
    target: TransformerModel,
    source: DraftSource,
    choice: Choice,
    prompt: np.ndarray,
    text: np.ndarray,
) -> dict[str, Any]:
    """Acceptance along a text that the target wrote, and measured costs of a step's other parts.

    Returns:
        The fields of `LoggedAcceptance`, and ``steps``: for each of `PROBES` the mean seconds by
        phase of a step with so many levels of drafts.
    """
    sampling, drawn = choice.sampling()
    # Block verification keeps at least as much as rejection, whose closed form is used for it.
    counted = rule("rejection" if choice.rule == "block" else choice.rule)
    logged = logged_acceptance(
        target,
        source,
        text,
        len(prompt),
        scheme=scheme(choice.scheme),
        rule=counted,
        k=choice.k,
        sampling=sampling,
        draft_sampling=drawn,
    )

    def step(levels: int, new_tokens: int) -> StepCost:
        tree = (choice.k, *(1,) * (levels - 1))
        cell = run_choice(target, source, choice, tree, prompt, new_tokens, seed=0)
        return mean_cost(cell.phases, cell.calls)

    step(PROBES[-1], WARM_UP)
    costs = [asdict(step(levels, len(text) - len(prompt))) for levels in PROBES]
    return {**{name: rates.tolist() for name, rates in logged._asdict().items()}, "steps": costs}


def plan(
    choice: Choice,
    calibrations: Sequence[dict[str, Any]],
    plain: StepCost,
    latency: LatencyTable,
    context: float,
) -> dict[str, Any]:
    """The best length for a configuration, with what is expected of it.

    Returns:
        ``branching``, ``tokens`` a step, ``ratio`` to plain decoding, ``step`` seconds by phase.
        A ratio below 1 says that the planner would not draft. ``needed``: for each of `GOALS` the
        acceptance that it takes where every level is drafted; see `acceptance_for`.
    """
    short, long = (
        StepCost(
            **{phase: _mean(one["steps"][i][phase] for one in calibrations) for phase in PHASES}
        )
        for i in range(len(PROBES))
    )
    logged = [
        LoggedAcceptance(*(np.array(one[name]) for name in LoggedAcceptance._fields))
        for one in calibrations
    ]
    most = latency.tokens[-1] - 1
    expected, full = {}, []
    for tree in sequences([choice.k], LONGEST):
        step = short.towards(long, (len(tree) - PROBES[0]) / (PROBES[1] - PROBES[0]))
        if max(int(nodes_along(one, tree).max()) for one in logged) <= most:
            tokens, verify = along(logged, tree, lambda size: latency(1 + size, context))
            expected[tree] = tokens, replace(step, verify=verify)
        if tree_size(tree) <= most:
            full.append(replace(step, verify=latency(1 + tree_size(tree), context)))
    best = best_plan(
        expected, lambda tree: expected[tree][0], lambda tree: expected[tree][1], plain
    )
    needed = [acceptance_for(goal, full, plain) for goal in GOALS]
    return {**best._asdict(), "step": asdict(best.step), "needed": needed}


def along(
    logged: Sequence[LoggedAcceptance], branching: Branching, verify: Callable[[int], float]
) -> tuple[float, float]:
    """Expected tokens of a step along texts, and expected seconds of the target's pass in it.

    Args:
        logged: of each text.
        branching: draws below each draw, level by level.
        verify: seconds of a pass with so many draft tokens.
    """
    tokens, steps, seconds = 0, 0.0, 0.0
    for one in logged:
        starts = starts_along(one.first, one.later, levels_along(one, branching))
        tokens, steps = tokens + len(starts), steps + float(starts.sum())
        nodes = nodes_along(one, branching)
        for size in set(nodes.tolist()):
            seconds += float(starts[nodes == size].sum()) * verify(size)
    return tokens / steps, seconds / steps


def levels_along(logged: LoggedAcceptance, branching: Branching) -> np.ndarray:
    """``(n,)`` levels drafted at each position: as far as the source goes, and the text."""
    left = np.arange(len(logged.first))[::-1]
    return np.minimum(np.minimum(logged.offered, len(branching)), left)


def nodes_along(logged: LoggedAcceptance, branching: Branching) -> np.ndarray:
    """``(n,)`` draft tokens at each position, apart from draws that agree by chance."""
    levels = levels_along(logged, branching)
    sizes = np.array([tree_size(branching[:drafted]) for drafted in range(len(branching) + 1)])
    return np.where(logged.alike, levels, sizes[levels])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
