"""Several Gaussian drafts: the optimum, K-SEQ and recursive rejection against the number of drafts.

Densities N(d, 1) and N(0, 1). The number of drafts that is worth drawing grows like the exponential
of the divergence, `d^2 / 2`: at d = 3 even 64 drafts fail almost every other time. The numbers
beside it are from a threshold search and a linear program in independent code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared, worked
from sims.gaussian_drafts import Config
from spectheory.cli.style import look
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("sun2023spectr", "miao2024specinfer", "hu2025towards")
inputs = {"gaussian_drafts": Config()}
size = (9.0, 3.2)
RULES = ("optimum", "k_seq", "recursive")


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A panel for each distance, one line a rule."""
    (data,) = tables.values()
    shifts = data["shift"].unique().sort()
    handles = {}
    for ax, shift in zip(figure.subplots(1, len(shifts), sharey=True), shifts, strict=True):
        for rule in RULES:
            line = data.filter((polars.col("shift") == shift) & (polars.col("rule") == rule))
            style = look(rule)
            (handles[rule],) = ax.plot(
                line["k"], line["acceptance"], style.line, color=style.colour, marker=style.marker
            )
        ax.set_xscale("log", base=2)
        ax.set_xticks([1, 4, 16, 64], labels=["1", "4", "16", "64"])
        ax.set_title(f"d = {shift:g}")
        ax.set_ylim(0, 1.03)
    figure.supxlabel("number of drafts k")
    figure.supylabel("acceptance probability")
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """Every cell of the worked table."""
    (data,) = tables.values()
    source, entry = "worked_examples", "gaussian_drafts"
    for row in reported(source)[entry].value:
        here = data.filter(
            (polars.col("shift") == float(row["shift"])) & (polars.col("k") == int(row["k"]))
        )
        for rule in RULES:
            value = here.filter(polars.col("rule") == rule)["acceptance"].item()
            yield Compared(worked(source, entry, row, rule, by=("shift", "k")), value)
