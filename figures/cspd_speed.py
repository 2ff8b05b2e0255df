"""Printed speed-ups of continuous speculative decoding follow the schedule that drops nothing.

With one draft-to-target cost ratio c fitted a pair of models, `S = g / (1 + c g)`, in which the
acceptance does not occur, goes through the printed points. Ending a block at its first rejection,
as a law-lossless decoder must, would at the printed acceptances be slower than the target alone
everywhere. That the experiments ran such a schedule is inferred from the numbers, not stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims.cspd_speed import ENTRY, SOURCE, Config
from spectheory.cli.style import COLOURS
from spectheory.literature.printed import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("wang2024continuous", "leviathan2023fast")
inputs = {"cspd_speed": Config()}
size = (9.0, 3.2)
LINES = {
    "in_place": ("nothing dropped: g / (1 + c g)", COLOURS[3], "-"),
    "truncating": ("ends at first rejection,\nat the printed acceptance", COLOURS[0], "--"),
}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A panel for each pair: printed points, and the two schedules."""
    (data,) = tables.values()
    pairs = data["pair"].unique(maintain_order=True)
    handles = {}
    for ax, pair in zip(figure.subplots(1, len(pairs), sharey=True), pairs, strict=True):
        panel = data.filter(polars.col("pair") == pair).sort("block")
        for column, (label, colour, line) in LINES.items():
            (handles[label],) = ax.plot(panel["block"], panel[column], line, color=colour)
        (handles["printed"],) = ax.plot(
            panel["block"], panel["printed"], "o", color="black", markersize=5
        )
        (handles["target alone"],) = ax.plot(
            panel["block"], [1.0] * len(panel), ":", color="#555555"
        )
        ax.set_xscale("log", base=2)
        ax.set_xticks(panel["block"], labels=map(str, panel["block"]))
        ax.minorticks_off()
        target, _, draft = pair.partition("/")
        ax.set_title(f"MAR-{target} from MAR-{draft}, c = {panel['cost'][0]:.2f}")
        ax.set_ylim(0, 2.6)
    figure.supxlabel("tokens drafted a block, g")
    figure.supylabel("speed-up over the target")
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The printed points beside the schedule that drops nothing."""
    (data,) = tables.values()
    for row in data.iter_rows(named=True):
        place = {"pair": row["pair"], "block": row["block"]}
        printed = number(SOURCE, ENTRY, "speed_up", **place)
        off = row["in_place"] / row["printed"] - 1
        yield Compared(
            printed,
            row["in_place"],
            f"one c a pair, {off:+.1%}; ending at the first rejection {row['truncating']:.2f}",
        )
