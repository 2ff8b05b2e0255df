"""Bounds on the acceptance of one Gaussian draft, against the exact overlap.

Densities N(d, 1) and N(0, 1): `int min(p, q) = 2 Phi(-d / 2)`, and what Hellinger, Le Cam, Pinsker,
Bretagnolle-Huber, chi-square and Chernoff make of it. The numbers beside it were computed by
quadrature in independent code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared, worked
from sims.gaussian_bounds import Config
from spectheory.cli.style import COLOURS, MARKERS
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("bretagnolle1979estimation", "chernoff1952measure")
inputs = {"gaussian_bounds": Config()}
size = (8.6, 4.0)


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Bounds below and bounds above, the overlap in black in both."""
    (data,) = tables.values()
    exact = data.filter(polars.col("side") == "exact").sort("shift")
    handles = {}
    lines = data.filter(
        (polars.col("side") != "exact") & ~polars.col("bound").str.contains("q . p")
    )
    looks = {n: i for i, n in enumerate(lines["bound"].unique(maintain_order=True))}
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, side in zip(axes, ("lower", "upper"), strict=True):
        for name, index in looks.items():
            line = lines.filter((polars.col("side") == side) & (polars.col("bound") == name))
            if len(line):
                (handles[name.partition(",")[0]],) = ax.plot(
                    line["shift"],
                    line["value"],
                    color=COLOURS[index],
                    marker=MARKERS[index],
                    markevery=(index % 4, 5),
                )
        (handles["overlap (exact)"],) = ax.plot(
            exact["shift"], exact["value"], color="black", linewidth=2.2
        )
        ax.set_title(f"{side} bounds")
    figure.supxlabel("distance of the means d (standard deviations)")
    figure.supylabel("acceptance probability")
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The overlaps and the bounds that were worked out independently."""
    (data,) = tables.values()

    def at(shift: float, side: str, bound: str) -> float:
        near = (polars.col("shift") - shift).abs() < 1e-9
        same = (polars.col("side") == side) & (polars.col("bound") == bound)
        return float(data.filter(near & same)["value"].item())

    source = "worked_examples"
    for row in reported(source)["gaussian_overlap"].value:
        value = at(float(row["shift"]), "exact", "overlap")
        yield Compared(worked(source, "gaussian_overlap", row, "overlap"), value)
    for row in reported(source)["gaussian_bounds"].value:
        value = at(1.0, row["side"], row["bound"])
        yield Compared(worked(source, "gaussian_bounds", row, "value"), value)
