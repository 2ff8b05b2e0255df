"""Cost models: block size, execution in parallel, a pruned draft vocabulary, and the exit layer.

Left: expected speed-up against the block size at draft cost c = 0.1 target calls a token; dashed,
the next block is drafted while the target verifies and never wasted, which is the best case.
(Execution that never rolls back has a figure of its own, on continuous speculative decoding.)
Middle: drafting with the n most frequent of 128,000 tokens (Zipf law, exponent 1.2; acceptance 0.8
with all of them, 5 drafts a step, c = 0.1), by the share of the output head in a draft step. Right:
drafting by the first L of 30 layers with the best g, acceptance (L / 30)^s, head 5% of a pass; the
grey levels are what papers on trained exits report for their own models. Marks stand at the optima,
which lie inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims.cost_models import Config
from spectheory.cli.style import COLOURS, MARKERS
from spectheory.literature.printed import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("leviathan2023fast", "goel2025vocabtrim", "zarch2025del", "liu2024kangaroo")
inputs = {"cost_models": Config()}
size = (11.5, 3.8)
REPORTED = (("zarch2025del", "speed_up", "DEL"), ("liu2024kangaroo", "speed_up", "Kangaroo"))


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Block size, vocabulary, exit layer."""
    (data,) = tables.values()
    left, middle, right = figure.subplots(1, 3)
    panels = (
        (left, "serial", "-", "a = {:g}"),
        (left, "parallel", "--", ""),
        (middle, "pruned", "-", "head {:.0%}"),
        (right, "exit", "-", "s = {:g}"),
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
    for key, entry, name in REPORTED:
        printed = number(key, entry)
        for level in printed.ends:
            right.axhline(level, color=COLOURS[9], linewidth=0.9, linestyle=":")
        right.annotate(f"{name} {printed.printed}", (29.5, printed.value), (0, 2),
                       textcoords="offset points", ha="right", fontsize=7.5)  # fmt: skip
    middle.set_xscale("log")
    left.set(xlabel="tokens drafted a step, g", ylabel="expected speed-up over the target")
    middle.set(xlabel="size of the draft vocabulary n (tokens)")
    right.set(xlabel="exit layer L of 30")
    for ax in (left, middle, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4, frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """Reported gains beside the models' best; other models and costs, so they need not agree."""
    (data,) = tables.values()
    best = data.group_by("model", "parameter").agg(polars.col("speed_up").max()).sort("parameter")
    exits = best.filter(polars.col("model") == "exit")["speed_up"]
    remark = "the middle curve, which is no fit to their models"
    yield Compared(number("zarch2025del", "speed_up"), exits[1], remark)
    pruned = data.filter((polars.col("model") == "pruned") & (polars.col("parameter") == 0.4))
    whole = pruned.filter(polars.col("x") == polars.col("x").max())["speed_up"].item()
    gain = 100 * (pruned["speed_up"].max() / whole - 1)
    remark = "head 40% of a draft step, Zipf tokens; theirs is a 1B drafter on Spec-Bench"
    yield Compared(number("goel2025vocabtrim", "memory_bound_gain"), gain, remark)
