"""The demonstration's figure: acceptance against k, a panel for each scheme and draft."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spectheory.cli.demo_plan import MIXED, Config
from spectheory.cli.demo_table import Row, groups
from spectheory.cli.style import OPTIMUM, look, settings
from spectheory.errors import MissingDependency


def draw(path: Path, config: Config, rows: list[Row]) -> list[Path]:
    """Save the figure as PNG and PDF; returns both paths.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "the figure needs `matplotlib`: pip install 'spectheory[cli]'"
        ) from error
    panels = groups(rows)
    # Schemes with one draft law first: the others fill one panel a column, and leave room below.
    drafts = list(dict.fromkeys(draft for _, draft in panels if draft != MIXED))
    schemes = sorted(
        dict.fromkeys(scheme for scheme, _ in panels), key=lambda name: (name, MIXED) in panels
    )
    with mpl.rc_context(settings()):
        figure = Figure(
            figsize=(2.45 * len(schemes), 2.7 * len(drafts) + 0.6), layout="constrained"
        )
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(drafts), len(schemes), sharex=True, sharey="row", squeeze=False)
        legend: dict[str, Any] = {}
        for column, scheme in enumerate(schemes):
            for row, draft in enumerate([MIXED] if (scheme, MIXED) in panels else drafts):
                axes = grid[row, column]
                legend |= _panel(axes, panels[scheme, draft], config.counts)
                axes.set_title(_title(scheme, draft, panels[scheme, draft]))
                if column == 0:
                    axes.set_ylabel("P(output is a draft)")
                if row == len(drafts) - 1 or draft == MIXED:
                    axes.set_xlabel("number of drafts k")
                    axes.tick_params(labelbottom=True)
        for row, draft in enumerate(drafts):
            shown = [r for r in rows if r["draft"] in ((draft, MIXED) if row == 0 else (draft,))]
            grid[row, 0].set_ylim(*_limits(shown))
        names = sorted(legend, key=lambda name: (name != OPTIMUM, name))
        spare = [axes for axes in grid.flat if not axes.has_data()]
        for axes in spare:
            axes.set_axis_off()
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": min(len(names), 6)}
        if spare:
            where = {"loc": "center", "bbox_to_anchor": (0.5, 0.5)}
        (spare[-1] if spare else figure).legend(
            [legend[name] for name in names], names, frameon=False, **where
        )
        request = config.request
        figure.suptitle(
            f"Acceptance on {request.pair}: {request.positions} positions, temperature "
            f"{config.temperature:g}; bars: 95% bootstrap over positions",
            fontsize=9.5,
        )
        paths = [path.with_suffix(suffix) for suffix in (".png", ".pdf")]
        for target in paths:
            # No creation date, so that the same numbers give the same file.
            figure.savefig(target, metadata={"CreationDate": None} if target == paths[1] else None)
    return paths


def _limits(rows: list[Row]) -> tuple[float, float]:
    """Ends of a vertical axis that shows every bar, at twentieths within [0, 1]."""
    low = min(float(row["acceptance_low"]) for row in rows)
    high = max(float(row["acceptance_high"]) for row in rows)
    return math.floor(20 * low) / 20, math.ceil(20 * high) / 20


def _title(scheme: str, draft: str, members: list[Row]) -> str:
    drafts = f"draft {draft}" if draft != MIXED else "k different drafts"
    bounded = sorted({row["k"] for row in members if not row["optimum_is_exact"]})
    remark = f"\noptimum: upper bound at k = {', '.join(map(str, bounded))}" if bounded else ""
    return f"{scheme}\n{drafts}{remark}"


def _panel(axes: Any, members: list[Row], counts: Sequence[int]) -> dict[str, Any]:
    """Draw one panel; returns a legend handle by rule."""
    handles: dict[str, Any] = {}
    for rule in dict.fromkeys([OPTIMUM, *(row["rule"] for row in members)]):
        cells = sorted(
            (row for row in members if row["rule"] == rule), key=lambda row: int(row["k"])
        )
        style = look(rule)
        best = rule == OPTIMUM
        # The optimum is a broad line under the others: a rule that attains it shows on top of it.
        handles[rule] = axes.errorbar(
            [row["k"] for row in cells],
            [row["acceptance"] for row in cells],
            yerr=[  # where all positions are alike, rounding can put an end past the mean
                [max(0.0, row["acceptance"] - row["acceptance_low"]) for row in cells],
                [max(0.0, row["acceptance_high"] - row["acceptance"]) for row in cells],
            ],
            color=style.colour,
            marker=style.marker,
            markersize=8 if best else None,
            linestyle=style.line,
            linewidth=2.8 if best else None,
            elinewidth=0.7,
            zorder=2 if best else 3,
            clip_on=False,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(k) for k in counts])
    axes.set_xlim(counts[0] * 0.85, counts[-1] * 1.18)
    axes.minorticks_off()
    return handles
