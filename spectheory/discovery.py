"""Finds the classes that fill a role: one file in the right package is all it takes.

A class is found if it is a concrete subclass defined in a module of the given package, or in a
module or package that another distribution names under the entry-point group ``spectheory``. There
is no list to edit.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

from spectheory.errors import UnknownName

ENTRY_POINTS = "spectheory"
T = TypeVar("T")


def find(package: str, kind: type[T]) -> dict[str, T]:
    """Every example of the concrete subclasses of ``kind``, by key.

    Raises:
        UnknownName: two classes claim one key.
    """
    found: dict[str, T] = {}
    for module in [*_modules(importlib.import_module(package)), *_outside()]:
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ != module.__name__ or not issubclass(cls, kind):
                continue
            if inspect.isabstract(cls):
                continue
            for example in cls.examples():  # type: ignore[attr-defined]
                if example.key in found:
                    raise UnknownName(
                        f"two classes claim the key `{example.key}`: "
                        f"{type(found[example.key]).__qualname__} and {cls.__qualname__}"
                    )
                found[example.key] = example
    return found


def named(found: dict[str, T], key: str, role: str) -> T:
    """The entry with that key.

    Raises:
        UnknownName: there is none; the message lists those there are.
    """
    if key not in found:
        raise UnknownName(f"no {role} `{key}`; there are {', '.join(found)}")
    return found[key]


def _outside() -> Iterator[ModuleType]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        yield from _modules(importlib.import_module(entry.value))


def _modules(root: ModuleType) -> Iterator[ModuleType]:
    """The module itself, and each module below it if it is a package."""
    yield root
    for info in pkgutil.walk_packages(getattr(root, "__path__", []), root.__name__ + "."):
        yield importlib.import_module(info.name)
