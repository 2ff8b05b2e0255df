"""Texts to measure on: prompt sets read from pinned packages, and the interpreter's own source."""

from __future__ import annotations

import gzip
import json
import sysconfig
from pathlib import Path
from typing import Any

from spectheory.decoding.registry import prompt_set
from spectheory.errors import InputError, SourceUnavailable


def prompts(name: str, limit: int | None = None) -> list[str]:
    """The texts of a registered prompt set, in the set's own order.

    ``humaneval``: each of 164 Python tasks with its canonical solution. ``mtbench``: each of 80
    questions, its two turns one after the other.

    Args:
        name: key under ``[prompts]`` in ``models.toml``.
        limit: at most this many, spread evenly over the set (its neighbours are alike).

    Raises:
        UnknownName: no such set.
        InputError: ``limit`` is below 1.
        SourceUnavailable, ChecksumMismatch: see `spectheory.decoding.download.fetch`.
    """
    if limit is not None and limit < 1:
        raise InputError(f"`limit` is {limit}; expected an integer >= 1, or None for all")
    path = prompt_set(name)
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    texts = [_text(json.loads(line)) for line in text.splitlines() if line.strip()]
    return texts if limit is None else [texts[i] for i in spread(len(texts), limit)]


def spread(size: int, limit: int) -> list[int]:
    """Up to ``limit`` indices below ``size``, evenly apart.

    >>> spread(10, 4)
    [0, 2, 5, 7]
    """
    count = min(size, limit)
    return [i * size // count for i in range(count)]


def nested(size: int) -> list[int]:
    """All indices below ``size``, ordered so that the first few are spread over them all.

    A run over some of them is thereby the beginning of a run over more.

    >>> nested(6)
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(1, (size - 1).bit_length())
    return sorted(range(size), key=lambda i: f"{i:0{bits}b}"[::-1])


def stdlib_source(characters: int = 400_000, each: int = 20_000) -> str:
    """Python source to warm up a draft on: the running interpreter's standard library.

    Modules in alphabetical order, private ones left out, at most ``each`` characters of one. The
    text differs between versions of Python.

    Raises:
        SourceUnavailable: the interpreter comes without the source of its library.
    """
    pieces: list[str] = []
    left = characters
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py")):
        if left <= 0:
            break
        pieces.append(path.read_text(encoding="utf-8")[: min(each, left)])
        left -= len(pieces[-1])
    if not pieces:
        raise SourceUnavailable(
            f"no Python source in {sysconfig.get_path('stdlib')}; a frozen interpreter?"
        )
    return "".join(pieces)


def _text(record: dict[str, Any]) -> str:
    if "canonical_solution" in record:
        return str(record["prompt"] + record["canonical_solution"])
    return "\n\n".join(record["turns"])
