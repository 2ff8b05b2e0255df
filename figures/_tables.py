"""Tables of simulations, kept by configuration so that none is computed twice."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import polars

from sims.runner import ALL, SHIPPED, file_name, save, source_digest
from spectheory.cli.output import note


def table(sim: str, config: Any, folder: Path) -> polars.DataFrame:
    """The simulation's table for this configuration, from disk if there is one.

    Args:
        sim: module of `sims`.
        config: its frozen configuration; whatever changes the table stands in it.
        folder: where tables are kept; those that come with the source are taken as well. One that
            other source made is taken, for it may have taken hours, and said to be.
    """
    name = file_name(sim, config)
    kept = folder / name
    if kept.exists():
        if polars.read_parquet_metadata(kept).get("source") != source_digest(sim, ALL):
            note(f"{kept} was made by other source code; delete it to run {sim} again")
        return polars.read_parquet(kept)
    if (SHIPPED / name).exists():
        return polars.read_parquet(SHIPPED / name)
    note(f"{sim}: running {config}")
    found: polars.DataFrame = importlib.import_module(f"sims.{sim}").run(config)
    save(found, sim, config, folder)
    return found
