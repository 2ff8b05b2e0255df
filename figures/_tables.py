"""Tables of simulations, kept by configuration so that none is computed twice."""

from __future__ import annotations

import hashlib
import importlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars

from spectheory.cli.output import note

SHIPPED = Path(__file__).parent.parent / "sims" / "tables"
"""Tables that come with the source: of simulations that take long or need model weights."""


def table(sim: str, config: Any, folder: Path) -> polars.DataFrame:
    """The simulation's table for this configuration, from disk if there is one.

    Args:
        sim: module of `sims`.
        config: its frozen configuration; whatever changes the table stands in it.
        folder: where tables are kept, as Parquet with configuration and versions in the metadata.
    """
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:12]
    name = f"{sim}-{digest}.parquet"
    for path in (folder / name, SHIPPED / name):
        if path.exists():
            return polars.read_parquet(path)
    folder.mkdir(parents=True, exist_ok=True)
    note(f"{sim}: running {config}")
    found: polars.DataFrame = importlib.import_module(f"sims.{sim}").run(config)
    partial = folder / f"{name}.part"
    found.write_parquet(partial, metadata={"config": repr(config), **_versions()})
    partial.rename(folder / name)
    return found


def _versions() -> dict[str, str]:
    packages = ("spectheory", "numpy", "scipy", "polars")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
