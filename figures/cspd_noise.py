"""Aligned, independent and same path: acceptance of a denoised token by the noise of its last step.

On linear Gaussian chains every acceptance is exact (lines) and the rules are run beside it (marks).
All four are law-lossless. Sharing the noise always beats independent noise; whether it beats
testing the whole path depends on the last step's noise and the number of steps. The worked numbers
are from closed forms in independent code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared, worked
from sims.cspd_chain import Config
from spectheory.cli.style import COLOURS, MARKERS, OPTIMUM, look
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("wang2024continuous", "debortoli2025accelerated")
inputs = {"cspd_chain": Config()}
size = (9.0, 3.4)
RULES = {
    "marginal": "marginal laws (most there is)",
    "shared_noise": "shared noise (aligned)",
    "same_path": "same path",
    "independent_paths": "independent noise",
}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A panel for each chain."""
    (data,) = tables.values()
    handles = {}
    chains = inputs["cspd_chain"].chains
    axes = figure.subplots(1, len(chains), sharey=True)
    for ax, (steps, target, draft) in zip(axes, chains, strict=True):
        for index, (rule, label) in enumerate(RULES.items()):
            colour = look(OPTIMUM).colour if rule == "marginal" else COLOURS[index]
            line = data.filter((polars.col("steps") == steps) & (polars.col("rule") == rule))
            ax.plot(line["floor"], line["acceptance"], color=colour)
            (handles[label],) = ax.plot(
                line["floor"], line["measured"], MARKERS[index], color=colour, markersize=4
            )
        ax.set_xscale("log")
        ax.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5], labels=["0.02", "0.05", "0.1", "0.2", "0.5"])
        ax.minorticks_off()
        ax.set_ylim(0, 1)
        plural = "s" if steps > 1 else ""
        ax.set_title(f"{steps} step{plural}, x -> {target} x (target) or {draft} x (draft)")
    figure.supxlabel("standard deviation of the last step's noise (start: 1)")
    figure.supylabel("acceptance probability")
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The worked chain of one step."""
    (data,) = tables.values()
    row = reported("worked_examples")["aligned_chain"].value
    chain = (1, float(row["target"]), float(row["draft"]))
    if chain not in inputs["cspd_chain"].chains:
        raise ValueError(f"the worked chain {chain} is not among those simulated")
    here = data.filter((polars.col("steps") == 1) & (polars.col("floor") == float(row["noise"])))
    for rule in ("marginal", "shared_noise", "independent_paths"):
        value = here.filter(polars.col("rule") == rule)["acceptance"].item()
        yield Compared(worked("worked_examples", "aligned_chain", row, rule, by=()), value)
