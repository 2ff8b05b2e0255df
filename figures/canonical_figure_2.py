"""Acceptance of every rule over a line of targets against a uniform draft of three tokens, k = 2.

Reference: khisti2025multi, Figure 2 (the setting; every value is computed here, exactly).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars

from sims.canonical_figure_2 import Config
from spectheory.cli.style import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

reference = "khisti2025multi"
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
