"""Digits with a diffusion head: what each coupling of the chains accepts, and what lossy ones cost.

Left: acceptance of a drafted token against the standard deviation of the last denoising step (the
noise floor). Middle: tokens a target pass at one floor, in blocks of four drafts. Right: how much
better the target explains the images than the draft does, less the same for the target's own
images: zero for the target's law, and far below it where the output leans to the draft. Means and
95% Student intervals over three pairs trained from other seeds. Filled marks are law-lossless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars

from sims.digits_diffusion import METHODS, TOKEN_RULES, Config, over_seeds
from spectheory.cli.style import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

references = ("wang2024continuous",)
inputs = {"digits_diffusion": Config()}
size = (11.5, 4.2)
CAPS = {"capsize": 2.5, "elinewidth": 0.9}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Acceptance by floor, tokens by method, bias by method."""
    (data,) = tables.values()
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    colours = {rule.key: COLOURS[at] for at, rule in enumerate(TOKEN_RULES)}
    for at, rule in enumerate(TOKEN_RULES):
        line = data.filter(polars.col("quantity") == rule.key)
        floors = line["floor"].unique().sort()
        points = [over_seeds(line.filter(polars.col("floor") == f)["value"].to_list())
                  for f in floors]  # fmt: skip
        means, halves = zip(*points, strict=True)
        name = rule.key.replace("_", " ")
        left.errorbar(floors, means, halves, fmt=MARKERS[at] + "-", label=name,
                      color=colours[rule.key], **CAPS)  # fmt: skip
    left.set_xscale("log")
    left.set_xticks(floors, [f"{floor:g}" for floor in floors])
    left.minorticks_off()
    left.set_ylim(0, None)
    left.set_xlabel("noise floor (pixels run from -1 to 1)")
    left.set_ylabel("acceptance probability of a drafted token")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)

    _by_method(middle, data, "tokens", colours)
    middle.axvline(1, color="#555555", linestyle=":")
    middle.set_xlabel("tokens a target pass")
    _by_method(right, data, "evidence", colours)
    right.axvline(0, color="#555555", linestyle=":")
    right.tick_params(labelleft=False)
    right.set_xlabel("evidence for the target,\nless its own (nats an image)")


def _by_method(ax: Axes, data: polars.DataFrame, column: str, colours: dict[str, str]) -> None:
    """A row a method: mean and interval over seeds, filled if its law is the target's."""
    names = list(METHODS)
    for at, name in enumerate(names):
        values = data.filter(polars.col("method") == name)[column].drop_nulls().to_list()
        if not values:
            continue
        mean, half = over_seeds(values)
        rule = METHODS[name].rule
        colour = colours.get(rule.key, "#000000") if rule else "#000000"
        face = colour if METHODS[name].exact else "white"
        ax.errorbar(mean, at, xerr=half, fmt="o", color=colour, markerfacecolor=face, **CAPS)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
