"""The part of `spectheory audit` that says how many draws a bias needs."""

from __future__ import annotations

import argparse
import math

from spectheory.cli.audit import job
from spectheory.cli.output import print_json, print_table
from spectheory.errors import InputError


def run_plan(options: argparse.Namespace) -> int:
    """Print the draws needed at the first position of the target, by direction and test."""
    from spectheory.audit.biases import DIRECTIONS
    from spectheory.audit.power import AuditPlan, plan_audit

    if options.target is None:
        raise InputError("--plan needs --target P.npy")
    for name in ("sampler", "stream", "model", "resume", "report"):
        if getattr(options, name) is not None:
            given = "a sampler" if name == "sampler" else f"--{name}"
            raise InputError(f"--plan draws nothing, so {given} would not be read; leave it out")
    work = job(options)
    target, draft = work.target[0], None if work.draft is None else work.draft[0]
    plans: dict[str, AuditPlan | None] = {}
    for direction in DIRECTIONS:
        if direction == "draft" and draft is None:
            continue
        try:
            plans[direction] = plan_audit(
                options.plan, options.alpha, options.power, target, draft, direction
            )
        except InputError:  # the target allows no bias of that size there
            plans[direction] = None
    if options.json:
        print_json(
            {
                "bias": options.plan,
                "alpha": options.alpha,
                "power": options.power,
                "position": 0,
                "positions": len(work.target),
                "directions": {
                    direction: plan and {test: _finite(n) for test, n in plan.draws.items()}
                    for direction, plan in plans.items()
                },
            }
        )
        return 0
    rows = [
        (name, "no such bias at this target", "")
        if plan is None
        else (name, f"{plan.needed:,.0f}", plan.test)
        if math.isfinite(plan.needed)
        else (name, "no test sees it", "")
        for name, plan in plans.items()
    ]
    place = f"at the first of {len(work.target)} positions, all draws made there; "
    print_table(
        f"draws that see a bias of {options.plan:.3%} with probability {options.power:g}",
        ["direction", "draws", "quickest test"],
        rows,
        numeric=("draws",),
        caption=(place if len(work.target) > 1 else "")
        + f"false alarms at most {options.alpha:g}; leading order, see the measured tables",
    )
    return 0


def _finite(draws: float) -> float | None:
    return draws if math.isfinite(draws) else None
