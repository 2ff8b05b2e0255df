"""Real language models by temperature: the optimum for i.i.d. drafts, and what two rules lose.

The pairs and positions of the figure at temperature 1; target and drafts are sampled at the same
temperature. Top: optimal acceptance for k drafts. Bottom: optimum less acceptance of K-SEQ and of
recursive rejection, k = 4. Bars: 95 % bootstrap intervals over 200 positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars

from figures.mdsd_real_pairs import DRAFTERS
from sims.real_pairs_heat import Config
from spectheory.cli.style import MARKERS, OPTIMUM, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("hu2025towards", "sun2023spectr", "miao2024specinfer")
inputs = {"real_pairs_heat": Config()}
size = (9.5, 5.6)
DRAFTS = 4
"""k of the lower row."""

GREYS = ("#aaaaaa", "#7f7f7f", "#505050", "#000000")
"""The optimum is black in every figure; here the darker, the more drafts."""


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A column a drafter."""
    (data,) = tables.values()
    grid = figure.subplots(2, len(DRAFTERS), sharex=True, sharey="row")
    for column, ((pair, draft), title) in enumerate(DRAFTERS.items()):
        here = data.filter((polars.col("pair") == pair) & (polars.col("draft") == draft))
        top, bottom = grid[:, column]
        best = here.filter(polars.col("rule") == OPTIMUM)
        for index, k in enumerate(best["k"].unique().sort()):
            looks = {"color": GREYS[index], "marker": MARKERS[index], "label": f"optimum, k = {k}"}
            _line(top, best.filter(polars.col("k") == k), "acceptance", **looks)
        for key in ("k_seq", "recursive"):
            line = here.filter((polars.col("rule") == key) & (polars.col("k") == DRAFTS))
            colour, marker, dash = look(key)
            _line(bottom, line, "gap", color=colour, marker=marker, linestyle=dash, label=key)
        bottom.axhline(0, color="black", linewidth=0.8)
        top.set_title(title.replace("\n", ", "), fontsize=8)
        bottom.set_xlabel("temperature")
    grid[0, 0].set_ylim(0, 1)
    grid[0, 0].set_ylabel("optimal acceptance")
    grid[1, 0].set_ylabel(f"optimum less acceptance, k = {DRAFTS}")
    above, below = (ax.get_legend_handles_labels() for ax in grid[:, 0])
    names = [*above[1], *below[1]]
    figure.legend(
        [*above[0], *below[0]], names, loc="outside lower center", ncols=len(names), frameon=False
    )


def _line(ax: Any, rows: polars.DataFrame, column: str, **looks: Any) -> None:
    """A column against temperature with its bootstrap interval."""
    rows = rows.sort("temperature")
    middle = rows[column]
    ends = (middle - rows[f"{column}_low"], rows[f"{column}_high"] - middle)
    bars = [end.clip(lower_bound=0) for end in ends]
    ax.errorbar(rows["temperature"], middle, yerr=bars, elinewidth=0.7, **looks)
