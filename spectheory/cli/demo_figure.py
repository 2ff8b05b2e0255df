"""The demonstration's figure: acceptance against k, a panel for each scheme and draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectheory.cli.demo_plan import Config
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
    drafts = list(dict.fromkeys(draft for scheme, draft in panels if draft != "mixed"))
    schemes = list(dict.fromkeys(scheme for scheme, _ in panels))
    with mpl.rc_context(settings()):
        figure = Figure(
            figsize=(2.3 * len(schemes), 2.35 * len(drafts) + 1.1), layout="constrained"
        )
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(drafts), len(schemes), sharex=True, sharey="row", squeeze=False)
        legend: dict[str, Any] = {}
        for column, scheme in enumerate(schemes):
            for row, draft in enumerate(drafts):
                axes = grid[row, column]
                members = panels.get((scheme, draft)) or (
                    panels.get((scheme, "mixed")) if row == 0 else None
                )
                if members is None:
                    axes.set_visible(False)
                    continue
                legend |= _panel(axes, members)
                axes.set_title(f"{scheme}\ndraft: {members[0]['draft']}")
                lowest = row == len(drafts) - 1 or (scheme, drafts[-1]) not in panels
                axes.tick_params(labelbottom=lowest)
                if lowest:
                    axes.set_xlabel("number of drafts k")
                if column == 0:
                    axes.set_ylabel("acceptance probability")
        names = sorted(legend, key=lambda name: (name != OPTIMUM, name))
        figure.legend(
            [legend[name] for name in names],
            names,
            loc="outside lower center",
            ncols=min(len(names), 5),
            frameon=False,
        )
        request = config.request
        figure.suptitle(
            f"P(output is one of the drafts), {request.pair}, {request.positions} positions, "
            f"temperature {config.temperature:g}; band: 95% bootstrap interval of the optimum's mean",
            fontsize=9.5,
        )
        paths = [path.with_suffix(suffix) for suffix in (".png", ".pdf")]
        for target in paths:
            # No creation date, so that the same numbers give the same file.
            metadata = {"CreationDate": None} if target.suffix == ".pdf" else None
            figure.savefig(target, metadata=metadata)
    return paths


def _panel(axes: Any, members: list[Row]) -> dict[str, Any]:
    """Draw one panel; returns a legend handle by rule."""
    handles: dict[str, Any] = {}
    rules = sorted({row["rule"] for row in members}, key=lambda name: (name == OPTIMUM, name))
    for rule in rules:
        cells = sorted(
            (row for row in members if row["rule"] == rule), key=lambda row: int(row["k"])
        )
        style, best = look(rule), rule == OPTIMUM
        counts = [row["k"] for row in cells]
        (handles[rule],) = axes.plot(
            counts,
            [row["acceptance"] for row in cells],
            style.line,
            color=style.colour,
            marker=style.marker,
            linewidth=2.0 if best else 1.2,
            zorder=2 if best else 3,  # a rule that attains the optimum stays visible on it
        )
        if best:
            low, high = ([row[f"acceptance_{end}"] for row in cells] for end in ("low", "high"))
            axes.fill_between(counts, low, high, color=style.colour, alpha=0.1, linewidth=0)
    counts = sorted({row["k"] for row in members})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(k) for k in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    if not members[0]["optimum_is_exact"] or any(not row["optimum_is_exact"] for row in members):
        axes.text(
            0.03, 0.03, "optimum: upper bound", transform=axes.transAxes, fontsize=7.5, color="#444"
        )
    return handles
