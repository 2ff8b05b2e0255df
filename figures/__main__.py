"""Redraw the figures: ``python -m figures [NAME ...] [--out FOLDER]``."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import polars

from figures import figures
from spectheory.cli.style import settings


def table(sim: str, config: Any, folder: Path) -> polars.DataFrame:
    """The simulation's table, from disk if it was run with this configuration before."""
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:12]
    path = folder / f"{sim}-{digest}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{sim}: running {config}", file=sys.stderr)
        partial = path.with_suffix(".part")
        importlib.import_module(f"sims.{sim}").run(config).write_parquet(partial)
        partial.rename(path)
    return polars.read_parquet(path)


def main() -> None:
    """Draw the named figures, or all."""
    known = figures()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    unknown = set(options.names) - known.keys()
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(known)}")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name in options.names or known:
        module = known[name]
        tables = {sim: table(sim, c, options.out / "tables") for sim, c in module.inputs.items()}
        with matplotlib.rc_context(settings()):
            figure = pyplot.figure(figsize=module.size, layout="constrained")
            module.draw(figure, tables)
            path = options.out / "figures" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
            pyplot.close(figure)
        print(path)


if __name__ == "__main__":
    main()
