"""The report of an audit as a page: HTML with its plots inside, or Markdown with them beside."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.audit.bounds import Bound
from spectheory.audit.report import MEANING
from spectheory.audit.stream_report import SHOWN
from spectheory.audit.stream_scores import MEANINGS
from spectheory.cli.style import COLOURS, settings
from spectheory.errors import InputError, MissingDependency

if TYPE_CHECKING:
    from spectheory.audit.report import AuditReport
    from spectheory.audit.stream_report import StreamReport

TEN = math.log(10)

HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem .2rem 0;text-align:left}}
svg{{max-width:100%;height:auto}}</style>
<h1>{title}</h1>
{body}
</html>
"""


@dataclass(frozen=True)
class Page:
    """What goes on the page.

    Attributes:
        title: head line.
        text: the report as text.
        alpha: declared rate; 1 over it is drawn as a line.
        unit: what is counted along the axis, draws or tokens.
        curves: logarithm of e-values by name, ``(counts, values)``; the first is the one that
            decides.
        tests: rows of the table of tests, under `HEADS`.
        bounds: bias by direction.
    """

    title: str
    text: str
    alpha: float
    unit: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    tests: Sequence[tuple[str, ...]]
    bounds: Sequence[Bound]

    @classmethod
    def of(cls, report: AuditReport | StreamReport, title: str) -> Page:
        """The page of either audit."""
        from spectheory.audit.stream_report import StreamReport

        if isinstance(report, StreamReport):
            return cls.of_stream(report, title)
        return cls.of_sampler(report, title)

    @classmethod
    def of_sampler(cls, report: AuditReport, title: str) -> Page:
        """The page of a known-target audit."""
        columns = list(zip(*report.trace, strict=True)) or [()] * (2 + len(report.tests))
        names = ["mean", *(one.name for one in report.tests)]
        curves = {name: (columns[0], columns[1 + i]) for i, name in enumerate(names)}
        tests = [
            (one.name, _log10(one.log_e), _log10(one.log_e_peak), MEANING[one.name])
            for one in report.tests
        ]
        return cls(title, str(report), report.alpha, "draws", curves, tests, report.bounds)

    @classmethod
    def of_stream(cls, report: StreamReport, title: str) -> Page:
        """The page of a stream audit; its strongest tests are drawn."""
        counts, mean, lengths, *columns = zip(*report.trace, strict=True)
        curves = {"mean": (counts, mean)}
        if report.length_log_e_peak is not None:
            curves["tokens a step"] = (counts, lengths)
        drawn = zip(report.tests[:SHOWN], columns[:SHOWN], strict=True)
        curves |= {name: (counts, column) for (name, _), column in drawn}
        tests = [
            (name, _log10(column[-1]), _log10(peak), MEANINGS[name.rpartition(": ")[2]])
            for (name, peak), column in zip(report.tests, columns, strict=True)
            if peak > 0
        ]
        # Each of the two e-processes has half the rate.
        return cls(title, str(report), report.alpha / 2, "tokens", curves, tests, report.bounds)


def write_report(path: Path, page: Page) -> None:
    """Write a report; the suffix, .html or .md, says which kind.

    Raises:
        InputError: the file cannot be written.
        MissingDependency: no matplotlib.
    """
    plots = {"e-process": e_process_plot(page), "bounds": bounds_plot(page)}
    try:
        if path.suffix == ".html":
            path.write_text(_html(page, plots), encoding="utf-8")
            return
        for name, svg in plots.items():
            path.with_name(f"{path.stem}-{name}.svg").write_text(svg, encoding="utf-8")
        path.write_text(_markdown(path.stem, page), encoding="utf-8")
    except OSError as error:
        raise InputError(f"`--report` {path}: {error.strerror or error}") from error


def e_process_plot(page: Page) -> str:
    """SVG: e-values over draws, each test and their mean, with the value that decides."""
    with figure() as (drawn, axes):
        threshold, highest = -math.log10(page.alpha), 0.0
        for number, (name, (counts, values)) in enumerate(page.curves.items()):
            heights = [value / TEN for value in values]
            highest = max([highest, *heights])
            look = {"color": "k", "lw": 2, "zorder": 3}
            if number:
                look = {"color": COLOURS[number - 1], "alpha": 0.8}
            axes.plot(counts, heights, label=name, **look)
        axes.axhline(threshold, color="k", ls=":", lw=1)
        axes.annotate(
            f"rejected from {1 / page.alpha:g} on",
            (0.01, threshold),
            xycoords=("axes fraction", "data"),
            va="bottom",
        )
        top = 1.15 * max(threshold, min(highest, 3 * threshold))
        axes.set(xscale="log", xlabel=page.unit, ylabel="log10 of the e-value", ylim=(-1.5, top))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(drawn)


def bounds_plot(page: Page) -> str:
    """SVG: bias seen and its upper bound, by direction."""
    with figure(height=1.2 + 0.25 * len(page.bounds)) as (drawn, axes):
        bounds = page.bounds[::-1]
        names = [f"{bound.direction} ({bound.unit})" for bound in bounds]
        uppers, seen = ([getattr(bound, name) for bound in bounds] for name in ("upper", "seen"))
        axes.barh(names, uppers, color="#dddddd", label="at most")
        axes.plot(seen, names, "o", color=COLOURS[0], label="seen")
        axes.set(xlabel="bias")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(drawn)


HEADS = (
    ("test", "log10 e-value", "highest", "what it sees"),
    ("direction", "bias seen", "at most", "in", "what moves"),
)


def _tables(page: Page) -> Iterator[tuple[tuple[str, ...], Sequence[tuple[str, ...]]]]:
    yield HEADS[0], page.tests
    yield (
        HEADS[1],
        [
            (one.direction, f"{one.seen:.5f}", f"{one.upper:.5f}", one.unit, one.meaning)
            for one in page.bounds
        ],
    )


def _markdown(stem: str, page: Page) -> str:
    lines = [f"# {page.title}", "", "```", page.text, "```", ""]
    for name, (head, rows) in zip(("e-process", "bounds"), _tables(page), strict=True):
        lines += [f"![{name}]({stem}-{name}.svg)", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _html(page: Page, plots: Mapping[str, str]) -> str:
    parts = [f"<pre>{html.escape(page.text)}</pre>"]
    for svg, (head, rows) in zip(plots.values(), _tables(page), strict=True):
        table = [_html_row("th", head), *(_html_row("td", row) for row in rows)]
        parts += [svg[svg.index("<svg") :], f"<table>{''.join(table)}</table>"]
    return HTML.format(title=html.escape(page.title), body="\n".join(parts))


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _log10(log_e: float) -> str:
    return f"{log_e / TEN:.2f}"


@contextmanager
def figure(height: float = 3.2) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes in the project's style, closed at the end."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "reports need `matplotlib`: pip install 'spectheory[cli]'"
        ) from error
    with matplotlib.rc_context(settings() | {"svg.hashsalt": "spectheory"}):
        drawn = Figure(figsize=(7, height), layout="constrained")
        FigureCanvasSVG(drawn)
        yield drawn, drawn.subplots()


def _svg(drawn: Any) -> str:
    file = io.StringIO()
    drawn.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
