"""Runs a simulation from the command line: ledger, workers, and the table with its provenance."""

from __future__ import annotations

import argparse
import hashlib
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spectheory
from sims.ledger import fill
from sims.workers import LOCAL, Workers

if TYPE_CHECKING:
    import polars

SHIPPED = Path(__file__).parent / "tables"
"""Tables that come with the source: of quick configurations, and of those that need weights."""

OUT = Path("out")

SOURCES = (
    *("*.py", "drafting/*.py", "transport/*.py", "kernels/*.py", "verification/*.py"),
    *("audit/enumeration.py", "audit/rates.py", "cli/demo_cells.py", "cli/optimum.py"),
    "cost/speedup.py",
)
"""Parts of `spectheory` that the cells of a sweep are computed with."""

ALL = ("**/*.py", "sims/*.py")
"""Everything: what a table says of the source that it was made with."""

AUDIT = (*SOURCES, "audit/*.py", "sims/bench.py")
"""Those that audits on synthetic laws are computed with."""


@dataclass(frozen=True)
class Place:
    """Where a run keeps its ledger, and who works on it; it changes no number.

    Attributes:
        folder: of the ledgers.
        workers: see `Workers`.
    """

    folder: Path = OUT / "sims"
    workers: Workers = field(default_factory=Workers)

    def fill(
        self,
        sim: str,
        config: Any,
        keys: Iterable[tuple[Any, ...]],
        work: Callable[..., dict[str, Any]],
        sources: Iterable[str] = SOURCES,
    ) -> list[dict[str, Any]]:
        """`ledger.fill` with a file of its own for this configuration and this source code."""
        path = self.folder / f"{sim}-{digest(config)}-{source_digest(sim, sources)}.jsonl"
        return fill(path, keys, work, sim, self.workers)


def digest(config: Any) -> str:
    """Names a configuration.

    >>> len(digest(("any", 1)))
    12
    """
    return hashlib.sha256(repr(config).encode()).hexdigest()[:12]


def source_digest(sim: str, sources: Iterable[str] = SOURCES) -> str:
    """Names the source that a simulation's numbers come from: its own, and the library's."""
    found = hashlib.sha256()
    for path in source_files(sim, sources):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def source_files(sim: str, sources: Iterable[str] = SOURCES) -> list[Path]:
    """The files of `source_digest`.

    Args:
        sim: the simulation.
        sources: patterns in the folder of `spectheory`; those of ``sims/`` beside it.
    """
    here, library = Path(__file__).parent, Path(spectheory.__file__).parent
    files = {here / f"{sim}.py", here / "sweep_laws.py"}
    for part in sources:
        files.update((here.parent if part.startswith("sims/") else library).glob(part))
    return sorted(files)


def file_name(sim: str, config: Any) -> str:
    """Of the table that this configuration gives."""
    return f"{sim}-{digest(config)}.parquet"


def save(table: polars.DataFrame, sim: str, config: Any, folder: Path, **about: str) -> Path:
    """Write the table as Parquet, named by its configuration, which stands in its metadata.

    The metadata holds config, seed, versions, a digest of the source and whatever else is given
    about the run, as text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packages = ("spectheory", "numpy", "scipy", "polars", "numba", "joblib")
    metadata = {"config": repr(config), "seed": str(getattr(config, "seed", "none"))} | about
    metadata["source"] = source_digest(sim, ALL)
    metadata |= {"python": platform.python_version()} | {name: version(name) for name in packages}
    path = folder / file_name(sim, config)
    partial = path.with_suffix(".part")
    table.write_parquet(partial, metadata=metadata)
    return partial.replace(path)


def main(
    sim: str,
    about: str,
    quick: Any,
    full: Any,
    run: Callable[[Any, Place], polars.DataFrame],
    render: Callable[[Any, polars.DataFrame], str],
    arguments: list[str] | None = None,
) -> None:
    """Command line of a simulation.

    The quick configuration is written into the source's tables, with a page; the full one to out/.
    """
    parser = argparse.ArgumentParser(prog=f"python -m sims.{sim}", description=about)
    parser.add_argument("--full", action="store_true", help="the full sizes (hours on one core)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to work with")
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help=f"work on this dask scheduler's cluster; `{LOCAL}` starts one of N processes here",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of ledgers and full tables")
    options = parser.parse_args(arguments)
    config = full if options.full else quick
    place = Place(options.out / "sims", Workers(options.jobs, options.dask))
    table = run(config, place)
    path = save(table, sim, config, options.out / "tables" if options.full else SHIPPED)
    page = path.with_name(f"{sim}.md")
    page.write_text(render(config, table), encoding="utf-8")
    print(f"{path}\n{page}")
