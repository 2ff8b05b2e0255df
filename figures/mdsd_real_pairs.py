"""Optimum and rules on real language models: acceptance against k, by draft law and drafter.

Qwen2.5-Coder 1.5B with its 0.5B (V = 151,936), and SmolLM2-135M with an early exit of its own and
with an online 5-gram (V = 49,152), at 200 positions of HumanEval and plain text, temperature 1.
Left: optimal acceptance by how the k drafts are drawn. Right: how far each law-lossless rule falls
short of the optimum of its draft law, on a scale that is linear below 0.01 and logarithmic above;
rules of one draft only are left out. Bars: 95 % bootstrap intervals over positions. The optimal
rule without replacement has a set-up by iteration that is stopped after four rounds; it stands on
16 positions of SmolLM2, and is not run on Qwen2.5. The paper's pairs are other ones, at numbers of
drafts that our source does not give, so its percentages stand beside ours unjudged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims.real_pairs import Config
from spectheory.cli.style import MARKERS, OPTIMUM, look
from spectheory.literature.printed import numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("hu2025towards", "khisti2025multi", "sun2023spectr")
inputs = {"real_pairs": Config()}
size = (8.8, 6.6)
SCHEMES = {
    "iid": "i.i.d.",
    "without_replacement": "without replacement",
    "greedy": "greedy",
}
DRAFTERS = {
    ("qwen2.5", "qwen2.5-coder-0.5b"): "Qwen2.5-Coder 1.5B\ndraft: its 0.5B",
    ("smollm2", "exit:28"): "SmolLM2-135M\ndraft: exit at layer 28",
    ("smollm2", "ngram:5"): "SmolLM2-135M\ndraft: online 5-gram",
}
SAME = {
    ("with replacement", "optimal"): ("iid", OPTIMUM),
    ("with replacement", "recursive"): ("iid", "recursive"),
    ("without replacement", "optimal"): ("without_replacement", OPTIMUM),
    ("without replacement", "recursive"): ("without_replacement", "recursive_without_replacement"),
    ("greedy", "optimal"): ("greedy", OPTIMUM),
}
"""The paper's draft laws and columns as they are called here."""

DASHES = ("-", "--", ":")
SMALL = 0.01
"""Gaps below this are drawn on a linear scale, those above on a logarithmic one."""


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A row a drafter: the optimum, then the gaps by draft law."""
    (data,) = tables.values()
    counts = data["k"].unique().sort().to_list()
    grid = figure.subplots(
        len(DRAFTERS), 1 + len(SCHEMES), sharex=True, width_ratios=(1.25, *[1] * len(SCHEMES))
    )
    laws: dict[str, Any] = {}
    rules: dict[str, Any] = {}
    most = data.filter(polars.col("k") > 1)["gap_high"].max()
    for axes, ((pair, draft), title) in zip(grid, DRAFTERS.items(), strict=True):
        here = data.filter((polars.col("pair") == pair) & (polars.col("draft") == draft))
        for index, (scheme, label) in enumerate(SCHEMES.items()):
            rows = here.filter(polars.col("scheme") == scheme)
            best = rows.filter(polars.col("rule") == OPTIMUM)
            shift = 1.05 ** (index - 1)  # intervals side by side
            law = {"marker": MARKERS[index], "linestyle": DASHES[index]}
            laws[label] = _line(axes[0], best, "acceptance", shift, color="black", **law)
            panel = axes[1 + index]
            for key in rows["rule"].unique().sort():
                line = rows.filter(polars.col("rule") == key)
                if key != OPTIMUM and line["k"].max() > 1:
                    colour, marker, dash = look(key)
                    rules[key] = _line(
                        panel, line, "gap", color=colour, marker=marker, linestyle=dash
                    )
            panel.axhline(0, color="black", linewidth=0.8)
            panel.set_yscale("symlog", linthresh=SMALL, linscale=0.6)
            panel.set_ylim(-SMALL / 3, 1.2 * most)
            panel.set_yticks((0, SMALL, 0.1), ("0", f"{SMALL:g}", "0.1"))
            panel.minorticks_off()
            panel.tick_params(labelleft=index == 0)
        axes[0].set_ylabel(f"{title}\nacceptance")
        axes[1].set_ylabel("optimum less acceptance")
    grid[0, 0].set_title("optimum, by draft law")
    for ax, label in zip(grid[0, 1:], SCHEMES.values(), strict=True):
        ax.set_title(f"drafts {label}")
    for ax in grid[-1]:
        ax.set_xlabel("number of drafts k")
    grid[0, 0].set_xscale("log", base=2)
    grid[0, 0].set_xticks(counts, [str(k) for k in counts])
    grid[0, 0].legend(laws.values(), laws, loc="lower right", fontsize=7, frameon=False)
    names = sorted(rules)
    figure.legend(
        [rules[name] for name in names],
        names,
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8,
    )


def _line(ax: Any, rows: polars.DataFrame, column: str, shift: float = 1.0, **looks: Any) -> Any:
    """A column against k with its bootstrap interval; returns the legend's handle."""
    rows = rows.sort("k")
    middle = rows[column]
    ends = (middle - rows[f"{column}_low"], rows[f"{column}_high"] - middle)
    bars = [end.clip(lower_bound=0) for end in ends]  # rounding, where all positions are alike
    return ax.errorbar(rows["k"] * shift, middle, yerr=bars, elinewidth=0.7, **looks)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The paper's percentages beside those of Qwen2.5 under the same draft law, four drafts."""
    (data,) = tables.values()
    here = data.filter((polars.col("pair") == "qwen2.5") & (polars.col("k") == 4))
    for printed in numbers("hu2025towards"):
        key = (printed.row.get("drafts"), printed.column)
        if key in SAME:
            scheme, rule = SAME[key]
            one = (polars.col("scheme") == scheme) & (polars.col("rule") == rule)
            value = here.filter(one)["acceptance"].item()
            yield Compared(printed, 100 * value, "another pair: Qwen2.5-Coder 0.5B, four drafts")
