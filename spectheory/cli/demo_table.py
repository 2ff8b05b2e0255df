"""The demonstration's results: rows with intervals, the printed tables, the Parquet file."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectheory.cli.bootstrap import LEVEL, mean_intervals
from spectheory.cli.demo_cells import BOUND, Measured
from spectheory.cli.demo_plan import Cell, Config
from spectheory.cli.output import print_table
from spectheory.cli.style import OPTIMUM
from spectheory.errors import MissingDependency

Row = dict[str, Any]


def rows_of(config: Config, results: Mapping[Cell, Measured]) -> list[Row]:
    """One row a cell: means over positions, bootstrap intervals, and the gap to the optimum.

    A rule measured on a few positions has its gap to the optimum from these, and its acceptance is
    the optimum over all positions less that gap: a mean over other positions would not compare.
    """
    found = []
    for cell, measured in results.items():
        best = results[cell._replace(rule=OPTIMUM)]
        optimum = np.array(best.acceptance)
        here = optimum if measured.rows is None else optimum[measured.rows]
        short = np.column_stack([here - measured.acceptance, here - measured.ladder])
        gap = _intervals(short, config)
        if measured.rows is None:
            whole = _intervals(np.column_stack([optimum, measured.acceptance]), config)
            middle, low, high = whole.mean[1], whole.low[1], whole.high[1]
        else:
            whole = _intervals(optimum[:, None], config)
            middle = whole.mean[0] - gap.mean[0]
            low = middle - math.hypot(whole.mean[0] - whole.low[0], gap.high[0] - gap.mean[0])
            high = middle + math.hypot(whole.high[0] - whole.mean[0], gap.mean[0] - gap.low[0])
        error = math.sqrt(float(np.square(measured.error).sum())) / len(measured.error)
        found.append(
            {
                "pair": config.request.pair,
                "scheme": cell.scheme,
                "draft": cell.draft,
                "k": cell.k,
                "rule": cell.rule,
                "acceptance": float(middle),
                "acceptance_low": float(low),
                "acceptance_high": float(high),
                "ladder": float(whole.mean[0] - gap.mean[1]),
                "optimum": float(whole.mean[0]),
                "optimum_is_exact": best.method != BOUND,
                "gap": float(gap.mean[0]),
                "gap_low": float(gap.low[0]),
                "gap_high": float(gap.high[0]),
                "method": measured.method,
                "standard_error": error,
                "positions": len(measured.acceptance),
            }
        )
    return found


class _Intervals(NamedTuple):
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _intervals(columns: np.ndarray, config: Config) -> _Intervals:
    return _Intervals(*mean_intervals(columns, config.resamples, config.request.seed))


def groups(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by (scheme, draft), in the order measured."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["scheme"], row["draft"]), []).append(row)
    return found


def print_groups(config: Config, rows: list[Row]) -> None:
    """A table for each scheme and draft: rules down, k across, best at the largest k first."""
    for (scheme, draft), members in groups(rows).items():
        counts = sorted({row["k"] for row in members})
        lines = []
        for rule, cells in _by_rule(members).items():
            last = cells[max(cells)]
            lines.append(
                (
                    rule == OPTIMUM,
                    sum(row["acceptance"] for row in cells.values()) / len(cells),
                    max(cells),
                    [
                        rule,
                        *(_shown(cells.get(k)) for k in counts),
                        _method(last, config.request.positions),
                    ],
                )
            )
        lines.sort(key=lambda line: (line[0], line[2], line[1]), reverse=True)
        print_table(
            f"{scheme}, draft {draft}",
            ["rule", *(f"k = {k}" for k in counts), f"method at k = {counts[-1]}"],
            [line[3] for line in lines],
            numeric=[f"k = {k}" for k in counts],
        )


def headline(config: Config, rows: list[Row]) -> str:
    """The result in a sentence or two, for k = 4 if it was run."""
    k = 4 if 4 in config.counts else max(config.counts)
    draft = next(row["draft"] for row in rows if row["scheme"] == "iid")
    here = [r for r in rows if (r["scheme"], r["draft"], r["k"]) == ("iid", draft, k)]
    short = [r for r in here if r["rule"] != OPTIMUM and r["gap"] > 1e-9]  # not optimal itself
    best = max(short or here, key=lambda r: float(r["acceptance"]))
    bound = next(r for r in here if r["rule"] == OPTIMUM)
    text = (
        f"{config.request.pair}, draft {draft}, {k} i.i.d. drafts: the optimum accepts "
        f"{bound['acceptance']:.3f} [{bound['acceptance_low']:.3f}, "
        f"{bound['acceptance_high']:.3f}]; "
        f"the best rule short of it, {best['rule']}, accepts {best['acceptance']:.3f}, which is "
        f"{best['gap']:.3f} [{best['gap_low']:.3f}, {best['gap_high']:.3f}] below it."
    )
    exact = [r for r in rows if r["k"] == k and r["optimum_is_exact"] and r["rule"] != OPTIMUM]
    top = max(exact, key=lambda r: float(r["acceptance"]))
    if top is not best:
        text += (
            f" Over all schemes the best is {top['rule']} under {top['scheme']} drafts "
            f"({top['draft']}): {top['acceptance']:.3f} of at most {top['optimum']:.3f}."
        )
    return text


def write_table(path: Path, rows: list[Row], config: Config, meta: Mapping[str, Any]) -> None:
    """``path`` as Parquet, with configuration, seed and versions beside it as JSON."""
    try:
        import polars
    except ImportError as error:
        raise MissingDependency(
            "saving the table needs `polars`: pip install 'spectheory[cli]'"
        ) from error
    polars.DataFrame(rows).write_parquet(path)
    document = {
        "config": asdict(config) | {"slots": config.slots()},
        "seed": config.request.seed,
        "interval": f"percentile bootstrap over positions, level {LEVEL}",
        "versions": versions(),
        "logits": dict(meta),
    }
    path.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"python": platform.python_version()}
    for package in ("spectheory", "numpy", "scipy", "numba", "polars", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _by_rule(rows: list[Row]) -> dict[str, dict[int, Row]]:
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row["rule"], {})[row["k"]] = row
    return found


def _shown(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{row['acceptance']:.3f} [{row['acceptance_low']:.2f}, {row['acceptance_high']:.2f}]"


def _method(row: Row, positions: int) -> str:
    text = str(row["method"])
    if row["standard_error"]:
        text += f", s.e. {row['standard_error']:.1g}"
    if row["positions"] < positions:
        text += f", gap over {row['positions']} positions"
    return text
