"""Theorems checked by machine on the library's own code: one theorem a file.

Each module's docstring holds the statement, the assumptions, what is machine-checked and what is
argued. ``verify()`` returns what it checked and raises `AssertionError` if the check fails.
``python -m proofs`` runs them all. Modules whose names begin with an underscore are tools:
`proofs._cover` settles a statement for all values of its variables, `proofs._laws` for all laws.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import NamedTuple


class Checked(NamedTuple):
    """What a proof has checked.

    Attributes:
        what: for which laws, rules and sizes.
        how: by which means.
    """

    what: str
    how: str


def theorems() -> dict[str, ModuleType]:
    """Every theorem of the package by module name."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"proofs.{name}") for name in names}
