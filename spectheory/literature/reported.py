"""Numbers that come from somewhere else, each with where it stands.

One TOML file a source, ``<citekey>.toml``; one table a number, or a table of numbers as printed:

    [speed_up]
    value = "2.13"                 the digits as printed, a string; its rounding is thereby known
    where = "abstract"             table, row, figure or section
    version = "arXiv v1"           of the source; "not recorded" if the reader did not note it
    hand = "first-hand"            or "second-hand", then with via = "who quotes it"
    setting = "what was measured"
    unit = "x"                     optional

In a table of numbers ``value`` is a list of rows, and ``by`` names the fields that tell the rows
apart; every other field of a row is a printed number.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from spectheory.errors import InputError, UnknownName

NEEDED: dict[str, set[str]] = {
    "first-hand": {"version"},
    "second-hand": {"version", "via"},
    "computed": set(),
}
"""What each provenance needs besides a value and a place."""

HANDS = tuple(NEEDED)
FIELDS = {"value", "where", "version", "hand", "via", "setting", "unit", "by"}


class UnplacedNumber(InputError):
    """An entry of the literature data without its place, or of unknown provenance."""


class Reported(NamedTuple):
    """An entry of a source: a number, or a table of them, with its place.

    Attributes:
        value: as printed: digits as a string, or rows of them.
        where: table, row or section of the source, or how it was computed.
        hand: "first-hand" (read in the source), "second-hand" (read about it) or "computed" (by
            independent code, not by this library).
        setting: what it was measured on; empty if the place says it all.
        version: of the source; empty for computed entries.
        via: who quotes a second-hand number; empty otherwise.
        unit: "x", "%", "s", ..; empty for a pure number.
        by: the fields that tell the rows of a table apart.
    """

    value: Any
    where: str
    hand: str
    setting: str = ""
    version: str = ""
    via: str = ""
    unit: str = ""
    by: tuple[str, ...] = ()


@cache
def reported(source: str) -> dict[str, Reported]:
    """Every entry of a source, by name.

    Raises:
        UnknownName: no such source.
        UnplacedNumber: an entry without its place, or of unknown provenance.

    >>> reported("worked_examples")["cover"].value["optimal_iid"]
    0.75
    """
    if source not in sources():
        raise UnknownName(f"no literature data for `{source}`; there are {', '.join(sources())}")
    path = files("spectheory.literature") / f"{source}.toml"
    return entries(source, path.read_text(encoding="utf-8"))


@cache
def sources() -> tuple[str, ...]:
    """Names of the sources there are: citation keys, and `worked_examples`."""
    names = (path.name for path in files("spectheory.literature").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def entries(source: str, text: str) -> dict[str, Reported]:
    r"""The entries of a TOML text; ``source`` is what messages call it.

    Raises:
        UnplacedNumber: see `reported`.

    >>> entries("anon2026", '[speed_up]\nvalue = "2.13"\nhand = "first-hand"')
    Traceback (most recent call last):
    spectheory.literature.reported.UnplacedNumber: anon2026.toml: [speed_up] lacks version, where
    """
    found = tomllib.loads(text)
    return {name: _entry(f"{source}.toml: [{name}]", fields) for name, fields in found.items()}


def citation_keys() -> set[str]:
    """Keys of the bibliography."""
    text = (files("spectheory.literature") / "references.bib").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line.startswith("@"))
    return {line.partition("{")[2].rstrip(",") for line in lines}


def _entry(place: str, fields: dict[str, Any]) -> Reported:
    hand = fields.get("hand", "")
    if hand not in HANDS:
        raise UnplacedNumber(f"{place} has hand = {hand!r}; one of {', '.join(HANDS)}")
    needed = {"value", "where"} | NEEDED[hand]
    missing = sorted(name for name in needed if not fields.get(name))
    if missing:
        raise UnplacedNumber(f"{place} lacks {', '.join(missing)}")
    unknown = sorted(fields.keys() - FIELDS)
    if unknown:
        raise UnplacedNumber(f"{place} has unknown fields {', '.join(unknown)}")
    return Reported(**{**fields, "by": tuple(fields.get("by", ()))})
