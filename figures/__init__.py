"""Figures of the papers, one a file; a figure reads tables and computes nothing.

A figure is a module with

    its first line        what it shows, as the gallery prints it
    references            citation keys
    inputs                simulation -> frozen configuration; `quick`, likewise, where that is long
    size                  inches
    draw(figure, tables)  tables by simulation
    compared(tables)      optional: what was reproduced of the papers' numbers, a `Compared` each

``spectheory reproduce NAME|all`` redraws them; a simulation runs only where no table for its
configuration is at hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def figures() -> dict[str, ModuleType]:
    """Every figure of the package by module name."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"figures.{name}") for name in sorted(names)}
