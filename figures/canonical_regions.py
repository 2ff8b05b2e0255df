"""Where all targets of three tokens can be met without rejection, by number of drafts.

Each triangle holds every target; a point's colour is the least k with optimal acceptance 1, which
for i.i.d. drafts is `p(H) >= q(H)^k` for all sets H (khisti2025multi). The cross is the draft law.
Near the sides no number of i.i.d. drafts tried is enough, while without replacement three drafts
are every token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars

from sims.canonical_regions import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("khisti2025multi", "hu2025towards")
inputs = {"canonical_regions": Config()}
size = (8.6, 4.8)
SCHEMES = {
    "iid": "i.i.d. drafts",
    "without_replacement": "without replacement",
    "greedy": "greedy",
}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """A row for each draft law, a column for each scheme."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    (data,) = tables.values()
    config = inputs["canonical_regions"]
    levels = range(1, config.most + 2)
    colours = mpl.colormaps["viridis"](np.linspace(1.0, 0.12, config.most)).tolist()
    colours.append((0.87, 0.87, 0.87, 1.0))
    norm = BoundaryNorm([*(k - 0.5 for k in levels), config.most + 1.5], len(colours))
    grid = figure.subplots(len(config.drafts), len(config.schemes), squeeze=False)
    for row, (number, law) in zip(grid, enumerate(config.drafts), strict=True):
        for ax, scheme in zip(row, config.schemes, strict=True):
            panel = data.filter((polars.col("draft") == number) & (polars.col("scheme") == scheme))
            ax.pcolormesh(*_grid(panel, config.steps), cmap=ListedColormap(colours), norm=norm)
            ax.plot(*_corners(law[0], law[1]), "+", color="white", markersize=9, mew=2.6)
            ax.plot(*_corners(law[0], law[1]), "+", color="black", markersize=8, mew=1.2)
            for corner, (u, v) in zip(("1", "2", "3"), ((1, 0), (0, 1), (0, 0)), strict=True):
                a, b = _corners(u, v)
                ax.text(a, b + (0.03 if v else -0.03), f"token {corner}", ha="center",
                        va="bottom" if v else "top", fontsize=8)  # fmt: skip
            ax.set(xlim=(-0.15, 1.1), ylim=(-0.1, 0.96), aspect="equal")
            ax.set_axis_off()
            if not number:
                ax.set_title(SCHEMES[scheme])
        shown = ", ".join(f"{mass:.2g}" for mass in law)
        row[0].text(-0.14, 0.43, f"q = ({shown})", rotation=90, va="center")
    handles = [
        Patch(color=c, label=f"k = {k}" + " (p = q)" * (k == 1))
        for k, c in zip(levels, colours, strict=True)
    ]
    handles[-1].set_label(f"more than {config.most},\nor never")
    handles.append(Line2D([], [], linestyle="", marker="+", color="black", label="draft law q"))
    figure.legend(handles=handles, title="drafts needed", loc="outside right center", frameon=False)


def _grid(panel: polars.DataFrame, steps: int) -> tuple[Any, Any, Any]:
    """The table's points as a mesh; what lies outside the triangle is masked."""
    first, second = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1))
    k = np.ma.masked_all(first.shape)
    places = ((panel[name] * steps).round().cast(int) for name in ("second", "first"))
    k[tuple(place.to_numpy() for place in places)] = panel["k"].to_numpy()
    return (*_corners(first / steps, second / steps), k)


def _corners(first: Any, second: Any) -> tuple[Any, Any]:
    """A target in the plane: the third token bottom left, the first bottom right, the second up."""
    return first + second / 2, second * np.sqrt(3) / 2
