"""Tables of simulations, kept by configuration so that none is computed twice."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import polars

from sims.runner import SHIPPED, file_name, save
from spectheory.cli.output import note


def table(sim: str, config: Any, folder: Path) -> polars.DataFrame:
    """The simulation's table for this configuration, from disk if there is one.

    Args:
        sim: module of `sims`.
        config: its frozen configuration; whatever changes the table stands in it.
        folder: where tables are kept; those that come with the source are taken as well.
    """
    name = file_name(sim, config)
    for path in (folder / name, SHIPPED / name):
        if path.exists():
            return polars.read_parquet(path)
    note(f"{sim}: running {config}")
    found: polars.DataFrame = importlib.import_module(f"sims.{sim}").run(config)
    save(found, sim, config, folder)
    return found
