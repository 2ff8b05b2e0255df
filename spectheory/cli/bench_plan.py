"""Plans each configuration from measured costs and logged acceptance, on texts set apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.cli.bench_cells import Choice, run_choice
from spectheory.cost.latency import LatencyTable, measure_latency
from spectheory.cost.planner import Branching, best_plan, sequences
from spectheory.cost.speedup import (
    StepCost,
    expected_tokens_along,
    mean_cost,
    tree_size,
)
from spectheory.decoding.foresight import logged_acceptance
from spectheory.decoding.session import Nodes
from spectheory.drafting.scheme import scheme
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.transformer import TransformerModel

LONGEST = 6
"""Longest draft that is considered."""

PROBE = 3
"""Length of the drafts whose costs are measured."""


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


def calibrate(
    target: TransformerModel,
    source: DraftSource,
    choice: Choice,
    prompt: np.ndarray,
    text: np.ndarray,
) -> dict[str, Any]:
    """Acceptance along a text that the target wrote, and measured costs of a step's other parts.

    Returns:
        ``first``, ``later``: acceptance at each position; ``step``: seconds by phase of a step with
        `PROBE` levels of drafts.
    """
    sampling, drawn = choice.sampling()
    # Block verification keeps at least as much as rejection, whose closed form is used for it.
    counted = rule("rejection" if choice.rule == "block" else choice.rule)
    logged = logged_acceptance(
        target,
        source,
        text,
        len(prompt),
        scheme=scheme("iid"),
        rule=counted,
        k=choice.k,
        sampling=sampling,
        draft_sampling=drawn,
    )
    probe = (choice.k, *(1,) * (PROBE - 1))
    cell = run_choice(target, source, choice, probe, prompt, len(text) - len(prompt), seed=0)
    step = mean_cost(cell.phases, cell.calls)
    return {
        "first": logged.first.tolist(),
        "later": logged.later.tolist(),
        "step": {"draft": step.draft, "sample": step.sample, "host": step.host},
    }


def step_cost(
    branching: Branching, step: dict[str, float], latency: LatencyTable, context: float
) -> StepCost:
    """Cost of a step: drafting in proportion to its levels, the target's pass by its tokens."""
    levels = len(branching)
    return StepCost(
        draft=step["draft"] * levels / PROBE,
        verify=latency(1 + tree_size(branching), context),
        sample=step["sample"],
        host=step["host"],
    )


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
        A ratio below 1 says that the planner would not draft.
    """
    step = {
        phase: float(np.mean([one["step"][phase] for one in calibrations]))
        for phase in ("draft", "sample", "host")
    }
    logged = [(np.array(one["first"]), np.array(one["later"])) for one in calibrations]

    def tokens(branching: Branching) -> float:
        by_text = [expected_tokens_along(*rates, len(branching)) for rates in logged]
        return float(np.mean(by_text))

    most = latency.tokens[-1] - 1
    best = best_plan(
        [tree for tree in sequences([choice.k], LONGEST) if tree_size(tree) <= most],
        tokens,
        lambda tree: step_cost(tree, step, latency, context),
        plain,
    )
    return {**best._asdict(), "step": asdict(best.step)}
