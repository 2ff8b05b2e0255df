"""The optimum over draft laws, temperatures and draft quality, and the gap of each rule to it.

Zipf laws over 1,000 tokens; the draft is the target with normal noise of the given deviation on its
logits. Left: optimal acceptance against the number of drafts, by how they are drawn. Middle: the
same with four drafts, by temperature and noise. Right: the gap of each law-lossless rule to the
optimum of its own draft law, four drafts; optimal rules with a gap have a set-up by iteration that
the sweep cuts short. The pairs of language models of hu2025towards are not run here, so their
percentages are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars

from sims.sweep import Config
from spectheory.cli.style import COLOURS, MARKERS, OPTIMUM, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("hu2025towards", "khisti2025multi", "sun2023spectr")
inputs = {"sweep": Config()}
size = (11.0, 4.2)
QUALITY, TEMPERATURE, DRAFTS = "0.7", 1.0, 4
SCHEMES = {
    "iid": "i.i.d.",
    "without_replacement": "without replacement",
    "distinct": "i.i.d., distinct",
    "greedy": "greedy",
}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """By number of drafts, by temperature, by rule."""
    (data,) = tables.values()
    zipf = data.filter(polars.col("source") == "zipf")
    best = zipf.filter(polars.col("rule") == OPTIMUM)
    one = (polars.col("quality") == QUALITY) & (polars.col("temperature") == TEMPERATURE)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    for index, (scheme, label) in enumerate(SCHEMES.items()):
        looks = {"color": COLOURS[index], "marker": MARKERS[index]}
        line = best.filter(one & (polars.col("scheme") == scheme)).sort("k")
        left.plot(line["k"], line["acceptance"], label=label, **looks)
        for quality, dash in zip(inputs["sweep"].qualities, ("-", "--", ":"), strict=True):
            same = (polars.col("quality") == f"{quality:g}") & (polars.col("scheme") == scheme)
            line = best.filter(same & (polars.col("k") == DRAFTS)).sort("temperature")
            middle.plot(line["temperature"], line["acceptance"], dash, **looks)
    for quality, dash in zip(inputs["sweep"].qualities, ("-", "--", ":"), strict=True):
        middle.plot([], [], dash, color="black", label=f"noise {quality:g}")
    left.set_xticks(inputs["sweep"].counts)
    middle.set_xticks(inputs["sweep"].temperatures)
    left.set(xlabel="number of drafts k", ylabel="optimal acceptance probability")
    middle.set_xlabel("temperature of target and draft")
    for ax, columns in ((left, 2), (middle, 3)):
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, frameon=False,
            columnspacing=0.9, handlelength=1.6, fontsize=7.5,
        )  # fmt: skip
    rules = zipf.filter(one & (polars.col("k") == DRAFTS) & (polars.col("rule") != OPTIMUM))
    rules = rules.filter(polars.col("scheme").is_in(list(SCHEMES))).sort("gap", descending=True)
    places = range(len(rules))
    colours = [look(rule).colour for rule in rules["rule"]]
    right.barh(places, rules["gap"], xerr=rules["error"] * 2, color=colours)
    labels = [f"{r}, {SCHEMES[s]}" for r, s in rules.select("rule", "scheme").iter_rows()]
    right.set_yticks(places, labels, fontsize=6.5)
    right.grid(visible=False, axis="y")
    right.set_xlabel(f"optimum less acceptance, k = {DRAFTS}")
