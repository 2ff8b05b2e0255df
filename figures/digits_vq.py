"""Digits of image codes: what relaxed acceptance gains a call of the target, and at which bias.

Left and middle: tokens a call against how far the target's log-likelihood of the images falls
behind that of its own, in standard errors of 2,000 images (symmetric logarithmic scale; the band is
where the target itself would lie with probability 95%). Lines join partitions from 64 groups to
16. Right: tokens a call against the number of groups, with 95% intervals. Filled marks are
law-lossless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars
from scipy.stats import norm

from sims.digits_vq import Config
from spectheory.cli.style import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("so2025grouped", "jang2025lantern", "park2025lanternpp", "bachmann2025judge")
inputs = {"digits_vq": Config()}
size = (11.5, 4.4)

PANELS = {"draft": "drafts of a small model", "jacobi": "guesses of a Jacobi window"}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Trade-off by decoder, then tokens a call by number of groups."""
    (data,) = tables.values()
    *trades, right = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    level = float(norm.ppf(0.975))
    handles = {}
    for ax, (decoder, title) in zip(trades, PANELS.items(), strict=True):
        ax.axvspan(-level, level, color="#EEEEEE", zorder=0)
        rows = data.filter(polars.col("decoder") == decoder)
        rows = rows.with_columns(key=polars.col("rule").str.split(",").list.first())
        for (key,), line in rows.group_by("key", maintain_order=True):
            style = look(str(key))
            (handles[key],) = ax.plot(
                line["likelihood_z"],
                line["tokens_per_call"],
                style.marker + ("-" if line["rule"].str.contains("groups").all() else ""),
                color=style.colour,
                markersize=6,
                linewidth=0.9,
                markerfacecolor=style.colour if line["lossless"].all() else "white",
            )
            if key == "lantern_plus_plus":  # looks as another rule does
                at = (line["likelihood_z"].item(), line["tokens_per_call"].item())
                ax.annotate(str(key), at, (0, 6), textcoords="offset points", ha="center")
        if decoder == "jacobi":
            [best] = data.filter(polars.col("decoder") == "coupled").iter_rows(named=True)
            name = "rejection, coupled guesses"
            (handles[name],) = ax.plot(
                best["likelihood_z"], best["tokens_per_call"], "P", color="#000000", markersize=8
            )
        ax.set_xscale("symlog", linthresh=3)
        ax.set_xlim(-120, 6)
        ax.set_xticks([-100, -30, -10, -3, 0, 3], ["-100", "-30", "-10", "-3", "0", "3"])
        ax.minorticks_off()
        ax.set_title(title)
        ax.set_xlabel("log-likelihood against the target's own\n(standard errors)")
    trades[0].set_ylabel("tokens a call of the target")

    grouped = data.filter(polars.col("rule").str.contains(r"^grouped.* groups$")).with_columns(
        groups=polars.col("rule").str.extract(r"(\d+) groups").cast(polars.Int64),
        key=polars.col("rule").str.split(",").list.first(),
    )
    for (key, decoder), line in grouped.group_by("key", "decoder", maintain_order=True):
        style = look(str(key))
        right.errorbar(
            line["groups"],
            line["tokens_per_call"],
            level * line["error"],
            fmt=style.marker + ("-" if decoder == "jacobi" else "--"),
            color=style.colour,
            capsize=2.5,
            markersize=5,
            markerfacecolor=style.colour if line["lossless"].all() else "white",
        )
    right.set_xscale("log", base=2)
    right.set_xticks([16, 32, 64], ["16", "32", "64"])
    right.set_xlabel("groups of the 128 codes")
    right.set_title("Jacobi (solid), draft (dashed)")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, frameon=False)
