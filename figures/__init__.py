"""Figures: one a file, with ``inputs`` (its simulations) and ``draw(figure, tables)``.

A figure reads tables and computes nothing; ``python -m figures`` runs a simulation only where no
table for its configuration is at hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def figures() -> dict[str, ModuleType]:
    """Every figure of the package by module name."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"figures.{name}") for name in names}
