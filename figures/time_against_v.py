"""Time to set up the optimum for i.i.d. drafts against the vocabulary size.

Synthetic laws of V tokens, one processor core, processor time, medians of repeats in turns. Left:
milliseconds; right: as multiples of sorting the ratios of the same laws, timed in the same turns.
Lines are for four drafts, shades reach from two to eight. The linear program is that of two drafts
(HiGHS, one run); it ends where its V (V + 1) / 2 sets of drafts take ten seconds. In the legend,
the exponent of V fitted from 16,000 tokens on (of the linear program, over all its sizes). A draw
is one of a batch, its plan at hand. Hollow: times printed for other hardware and laws, two drafts
from the top V tokens, read second-hand; a triangle that points up stands for "at least".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims.bench import Config, growth
from spectheory.cli.style import COLOURS, MARKERS
from spectheory.literature.printed import number
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("hu2025towards", "globalresolution2026", "sun2023spectr")
inputs = {"bench": Config()}
size = (11.0, 4.8)
LINES = {
    "linear_program": "linear program",
    "exact": "exact plan",
    "grouped": "grouped plan",
    "value": "optimal value",
    "draw": "one draw",
}
PRINTED = {
    "linear_program": "linear program",
    "maximum_flow": "maximum flow",
    "tolerance_1e-4": "Global Resolution, 1e-4",
}
DRAFTS, PRINTED_DRAFTS, LARGE = 4, 2, 16_000


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Absolute on the left, relative to a sort on the right."""
    (data,) = tables.values()
    left, right = figure.subplots(1, 2)
    panels = ((left, 1e3 * polars.lit(1.0)), (right, 1 / polars.col("sort")))
    for ax, scale in panels:
        for index, (column, label) in enumerate(LINES.items()):
            timed = data.filter(polars.col(column).is_not_null())
            k = DRAFTS if DRAFTS in timed["k"] else PRINTED_DRAFTS
            timed = timed.with_columns(shown=polars.col(column) * scale).sort("size")
            line = timed.filter(polars.col("k") == k)
            looks = {"color": COLOURS[index], "marker": MARKERS[index]}
            ax.plot(
                line["size"], line["shown"], label=f"{label}, {_exponent(line, column)}", **looks
            )
            ends = timed.group_by("size", maintain_order=True).agg(
                low=polars.col("shown").min(), high=polars.col("shown").max()
            )
            ax.fill_between(
                ends["size"], ends["low"], ends["high"], color=COLOURS[index], alpha=0.15, lw=0
            )
        ax.set(xscale="log", yscale="log", xlabel="vocabulary size V (tokens)")
    sort = data.filter(polars.col("k") == DRAFTS).sort("size")
    left.plot(sort["size"], 1e3 * sort["sort"], "k--", label=f"sort, {_exponent(sort, 'sort')}")
    right.axhline(1, color="black", linestyle="--")
    for column, label in PRINTED.items():
        index = list(LINES).index(column) if column in LINES else len(LINES) + len(label) % 2
        shown = [n for n in _printed(column) if n.row["drafts"] == PRINTED_DRAFTS]
        for at, one in enumerate(shown):
            left.plot(
                one.row["top_k"],
                one.value,
                "^" if one.printed.endswith("+") else "o",
                color=COLOURS[index],
                markerfacecolor="none",
                markersize=7,
                linestyle="none",
                label=None if at else f"{label} (printed)",
            )
    left.set_ylabel("time (ms)")
    right.set_ylabel("time over that of a sort")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False)


def _exponent(line: polars.DataFrame, column: str) -> str:
    """How the time grows, for the legend."""
    large = line.filter(polars.col("size") >= LARGE)
    line = large if len(large) else line
    return f"V^{growth(line['size'].to_numpy(), line[column].to_numpy()):.2f}"


def _printed(column: str) -> list[Any]:
    rows = reported("globalresolution2026")["milliseconds"].value
    return [
        number(
            "globalresolution2026", "milliseconds", column, top_k=row["top_k"], drafts=row["drafts"]
        )
        for row in rows
        if column in row
    ]


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The linear program's printed time, at a size that is timed here too."""
    (data,) = tables.values()
    timed = data.filter(polars.col("linear_program").is_not_null())
    for printed in _printed("linear_program"):
        here = timed.filter(
            (polars.col("size") == printed.row["top_k"])
            & (polars.col("k") == printed.row["drafts"])
        )
        if len(here):
            yield Compared(
                printed, 1e3 * here["linear_program"].item(), "other hardware and solver"
            )
