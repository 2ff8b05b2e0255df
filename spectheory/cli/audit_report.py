"""The report of an audit as a page: HTML with its plots inside, or Markdown with them beside."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.audit.report import MEANING
from spectheory.cli.style import COLOURS, settings
from spectheory.errors import InputError, MissingDependency

if TYPE_CHECKING:
    from spectheory.audit.report import AuditReport

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem .2rem 0;text-align:left}}
svg{{max-width:100%;height:auto}}</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_report(path: Path, report: AuditReport, title: str) -> None:
    """Write a report; the suffix, .html or .md, says which kind.

    Raises:
        InputError: the file cannot be written.
        MissingDependency: no matplotlib.
    """
    plots = {"e-process": e_process_plot(report), "bounds": bounds_plot(report)}
    try:
        if path.suffix == ".html":
            path.write_text(_page(report, title, plots), encoding="utf-8")
            return
        for name, svg in plots.items():
            path.with_name(f"{path.stem}-{name}.svg").write_text(svg, encoding="utf-8")
        path.write_text(_markdown(path, report, title), encoding="utf-8")
    except OSError as error:
        raise InputError(f"`--report` {path}: {error.strerror or error}") from error


def e_process_plot(report: AuditReport) -> str:
    """SVG: e-values over draws, each test and their mean, with the value that decides."""
    with _figure() as (figure, axes):
        points = [point for point in report.trace if point[0] > 0]
        draws = [point[0] for point in points]
        ten = math.log(10)
        for column, one in enumerate(report.tests):
            values = [point[2 + column] / ten for point in points]
            axes.plot(draws, values, color=COLOURS[column], label=one.name, alpha=0.8)
        axes.plot(draws, [point[1] / ten for point in points], "k", lw=2, label="mean")
        threshold = -math.log10(report.alpha)
        axes.axhline(threshold, color="k", ls=":", lw=1)
        axes.annotate(
            f"rejected from 1/{report.alpha:g}",
            (0.01, threshold),
            xycoords=("axes fraction", "data"),
            va="bottom",
        )
        highest = max([threshold, *(max(point[1:]) / ten for point in points)])
        axes.set(
            xscale="log",
            xlabel="draws",
            ylabel="log10 of the e-value",
            ylim=(-4, min(highest, 3 * threshold) * 1.1),
        )
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(figure)


def bounds_plot(report: AuditReport) -> str:
    """SVG: bias seen and its upper bound, by direction."""
    with _figure() as (figure, axes):
        names = [bound.direction for bound in report.bounds][::-1]
        bounds = report.bounds[::-1]
        axes.barh(names, [100 * bound.upper for bound in bounds], color="#dddddd", label="at most")
        axes.plot(
            [100 * bound.seen for bound in bounds], names, "o", color=COLOURS[0], label="seen"
        )
        axes.set(xlabel="bias, per cent (total variation; acceptance: probability)")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(figure)


def _rows(report: AuditReport) -> tuple[Sequence[tuple[str, ...]], Sequence[tuple[str, ...]]]:
    ten = math.log(10)
    tests = [
        (one.name, f"{one.log_e / ten:.2f}", f"{one.log_e_peak / ten:.2f}", MEANING[one.name])
        for one in report.tests
    ]
    bounds = [
        (bound.direction, f"{bound.seen:.3%}", f"{bound.upper:.3%}", bound.unit, bound.meaning)
        for bound in report.bounds
    ]
    return tests, bounds


HEADS = (
    ("test", "log10 e-value", "highest", "what it sees"),
    ("direction", "bias seen", "at most", "in", "what moves"),
)


def _markdown(path: Path, report: AuditReport, title: str) -> str:
    lines = [f"# {title}", "", "```", str(report), "```", ""]
    for name, head, rows in zip(("e-process", "bounds"), HEADS, _rows(report), strict=True):
        lines += [f"![{name}]({path.stem}-{name}.svg)", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _page(report: AuditReport, title: str, plots: dict[str, str]) -> str:
    parts = [f"<pre>{html.escape(str(report))}</pre>"]
    for svg, head, rows in zip(plots.values(), HEADS, _rows(report), strict=True):
        cells = "".join(f"<th>{cell}</th>" for cell in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        parts += [svg[svg.index("<svg") :], f"<table><tr>{cells}</tr>{body}</table>"]
    return PAGE.format(title=html.escape(title), body="\n".join(parts))


class _figure:  # noqa: N801 (used as a function)
    """A figure in the project's style, closed at the end."""

    def __enter__(self) -> tuple[Any, Any]:
        try:
            import matplotlib

            matplotlib.use("Agg", force=False)
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise MissingDependency(
                "reports need `matplotlib`: pip install 'spectheory[cli]'"
            ) from error
        self._context = matplotlib.rc_context(settings() | {"svg.hashsalt": "spectheory"})
        self._context.__enter__()
        self._figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
        return self._figure, axes

    def __exit__(self, *error: object) -> None:
        import matplotlib.pyplot as plt

        plt.close(self._figure)
        self._context.__exit__(None, None, None)


def _svg(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
