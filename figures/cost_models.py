"""Cost models: block size, execution in parallel, and a pruned draft vocabulary.

Left: expected speed-up against the block size at draft cost c = 0.1 target calls a token; dashed,
the next block is drafted while the target verifies and never wasted, which is the best case. Right:
drafting with the n most frequent of 128,000 tokens (Zipf law, exponent 1.2; acceptance 0.8 with all
of them, 5 drafts a step, c = 0.1), by the share of the output head in a draft step. Marks stand at
the optima, which lie inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars

from sims.cost_models import Config
from spectheory.cli.style import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("leviathan2023fast", "goel2025vocabtrim")
inputs = {"cost_models": Config()}
size = (9.0, 3.8)


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Block size on the left, vocabulary on the right."""
    (data,) = tables.values()
    left, right = figure.subplots(1, 2)
    panels = (
        (left, "serial", "-", "a = {:g}"),
        (left, "parallel", "--", ""),
        (right, "pruned", "-", "head {:.0%}"),
    )
    for ax, model, dash, name in panels:
        lines = data.filter(polars.col("model") == model)
        for index, value in enumerate(lines["parameter"].unique().sort()):
            line = lines.filter(polars.col("parameter") == value).sort("x")
            best = line.sort("speed_up", descending=True)[:1]
            colour, marker = COLOURS[index], MARKERS[index]
            label = name.format(value) or None
            ax.plot(line["x"], line["speed_up"], dash, color=colour, label=label)
            ax.plot(best["x"], best["speed_up"], marker, color=colour, markersize=7)
    left.plot([], [], "--", color="black", label="in parallel")
    right.set_xscale("log")
    left.set(xlabel="tokens drafted a step, g", ylabel="expected speed-up over the target")
    right.set(xlabel="size of the draft vocabulary n (tokens)")
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, frameon=False)
