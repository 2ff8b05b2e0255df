"""Numbers that come from somewhere else, each with where it stands.

One TOML file a source, ``<citekey>.toml``; one table a number (or array of numbers).
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from spectheory.errors import UnknownName

HANDS = ("first-hand", "second-hand", "computed")


class Reported(NamedTuple):
    """A number (or array) with its place.

    Attributes:
        value: as printed.
        where: table, row and version of the source, or how it was computed.
        hand: "first-hand" (read in the source), "second-hand" (read about it) or "computed" (by
            independent code, not by this library).
        setting: what it was measured on; empty if the place says it all.
    """

    value: Any
    where: str
    hand: str
    setting: str


@cache
def reported(source: str) -> dict[str, Reported]:
    """Every number of a source, by name.

    Raises:
        UnknownName: no such source.
        ValueError: an entry without its place, or of unknown provenance.

    >>> reported("worked_examples")["cover"].value["optimal_iid"]
    0.75
    """
    path = files("spectheory.literature") / f"{source}.toml"
    if not path.is_file():
        raise UnknownName(f"no literature data for `{source}`")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _entry(source, name, fields) for name, fields in entries.items()}


def citation_keys() -> set[str]:
    """Keys of the bibliography."""
    text = (files("spectheory.literature") / "references.bib").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line.startswith("@"))
    return {line.partition("{")[2].rstrip(",") for line in lines}


def _entry(source: str, name: str, fields: dict[str, Any]) -> Reported:
    missing = {"value", "where", "hand"} - fields.keys()
    if missing or not fields["where"]:
        raise ValueError(f"{source}.toml: [{name}] lacks {', '.join(sorted(missing)) or 'a place'}")
    if fields["hand"] not in HANDS:
        raise ValueError(f"{source}.toml: [{name}] has hand = {fields['hand']!r}; one of {HANDS}")
    return Reported(fields["value"], fields["where"], fields["hand"], fields.get("setting", ""))
