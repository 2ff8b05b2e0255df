"""Grouped and other relaxed acceptance: what is gained, at which bias, and where a window loses.

Left: relaxed rules on laws of a trained pair over 128 image codes, with their bias, the exact total
variation between output law and target: none accepts more than rejection without it, and some
accept less with it. Marks on the left edge of the bias axis are law-lossless. Middle: rank windows
on random laws. They are no partition, so the theorem that grouping accepts at least as often as
rejection does not cover them; right: the worked pair on which they accept less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared, worked
from sims import group_windows, grouped_bias
from spectheory.cli.style import COLOURS, look
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("so2025grouped", "jang2025lantern", "park2025lanternpp", "bachmann2025judge")
inputs = {"grouped_bias": grouped_bias.Config(), "group_windows": group_windows.Config()}
size = (10.5, 4.0)


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Trade-off, windows on random laws, the worked pair."""
    relaxed, windows = tables["grouped_bias"], tables["group_windows"]
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.6, 1, 1))
    handles = {}
    for name in relaxed["rule"].unique(maintain_order=True):
        line = relaxed.filter(polars.col("rule") == name)
        style = look(name)
        parts = [(name, line, style.colour)]
        if name in ("grouped", "grouped_best"):
            ranks = polars.col("setting").str.contains("ranks")
            parts = [(name, line.filter(~ranks), style.colour)]
            if name == "grouped":
                parts.append(("grouped_window", line.filter(ranks), look("grouped_window").colour))
        elif name == "grouped_window":
            parts = [("grouped_window, draft's order", line, style.colour)]
        for label, part, colour in parts:
            part = part.sort("ladder")
            marker = look(label.partition(",")[0]).marker
            hollow = any((h.get_color(), h.get_marker()) == (colour, marker)
                         for h in handles.values())  # fmt: skip
            (handles[label],) = left.plot(
                part["bias"],
                part["ladder"],
                marker,
                color=colour,
                markersize=5,
                markerfacecolor="none" if hollow else colour,
            )
    left.set_xlabel("bias: TV(output law, target)")
    left.set_ylabel("acceptance probability")
    for ax, laws, title in (
        (middle, "random", "random laws"),
        (right, "worked", "worked pair"),
    ):
        for kind, key in (("window", "grouped_window"), ("partition", "grouped")):
            line = windows.filter((polars.col("laws") == laws) & (polars.col("groups") == kind))
            ax.plot(
                line["width"], line["accepted"], color=look(key).colour, marker=look(key).marker
            )
        (handles["rejection, 1 - TV"],) = ax.plot(
            line["width"], line["rejection"], ":", color=COLOURS[0]
        )
        ax.set_title(title)
        ax.set_xlabel("ranks to either side")
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The worked counterexample."""
    row = reported("worked_examples")["group_window"].value
    here = tables["group_windows"].filter(
        (polars.col("laws") == "worked")
        & (polars.col("groups") == "window")
        & (polars.col("width") == 1)
    )
    for column, name in (("grouped_window", "accepted"), ("rejection", "rejection")):
        printed = worked("worked_examples", "group_window", row, column, by=())
        yield Compared(printed, here[name].item())
