"""Two drafts of three equally likely tokens: acceptance of the exact rules over a line of targets.

The setting of khisti2025multi, Figure 2: target (c, x, 1 - c - x), draft uniform, k = 2. Every
value is exact, by enumeration on Fractions; the numbers beside it are from a linear program and
formulas in independent code.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared, worked
from sims.canonical_figure_2 import Config
from spectheory.cli.style import look
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("khisti2025multi",)
inputs = {"canonical_figure_2": Config()}
size = (9.5, 5.6)
SCHEMES = {"iid": "i.i.d. drafts", "without_replacement": "without replacement", "greedy": "greedy"}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A row for each c, a column for each draft law; one line a rule, the optimum in black."""
    (data,) = tables.values()
    lines = sorted(data["c"].unique(), reverse=True)
    axes = figure.subplots(len(lines), len(SCHEMES), sharex=True, sharey=True, squeeze=False)
    handles = {}
    for row, c in zip(axes, lines, strict=True):
        for ax, (scheme, title) in zip(row, SCHEMES.items(), strict=True):
            panel = data.filter((polars.col("c") == c) & (polars.col("scheme") == scheme))
            for rule in sorted(panel["rule"].unique(), key=lambda r: (r == "optimum", r)):
                line = panel.filter(polars.col("rule") == rule).sort("x")
                style = look(rule)
                (handles[rule],) = ax.plot(
                    line["x"],
                    line["acceptance"],
                    style.line,
                    color=style.colour,
                    marker=style.marker,
                    markevery=6,
                    linewidth=2.2 if rule == "optimum" else 1.3,
                    label=rule,
                )
            ax.set_title(f"{title}, c = {Fraction(c).limit_denominator(99)}")
    figure.supxlabel("target mass x of the second token")
    figure.supylabel("acceptance, P(output is one of the 2 drafts)")
    names = sorted(handles, key=lambda rule: (rule != "optimum", rule))
    figure.legend([handles[n] for n in names], names, loc="outside right center", frameon=False)


WORKED = {
    "optimal_iid": ("iid", "optimum"),
    "k_seq": ("iid", "k_seq"),
    "recursive": ("iid", "recursive"),
    "optimal_without_replacement": ("without_replacement", "optimum"),
    "recursive_without_replacement": ("without_replacement", "recursive_without_replacement"),
    "greedy": ("greedy", "greedy_optimal"),
}


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The worked points of the line."""
    (data,) = tables.values()
    source, entry = "worked_examples", "canonical_decomposition_figure_2"
    for row in reported(source)[entry].value:
        c, x = (float(Fraction(row[name])) for name in ("c", "x"))
        here = data.filter(
            ((polars.col("c") - c).abs() < 1e-12) & ((polars.col("x") - x).abs() < 1e-12)
        )
        for column, (scheme, rule) in WORKED.items():
            value = here.filter((polars.col("scheme") == scheme) & (polars.col("rule") == rule))
            yield Compared(worked(source, entry, row, column), value["acceptance"].item())
