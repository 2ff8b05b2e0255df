"""Rows of a long simulation, one JSON line each, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from spectheory.decoding.progress import progress


def fill(
    path: Path, keys: Iterable[tuple[Any, ...]], work: Callable[..., dict[str, Any]], label: str
) -> list[dict[str, Any]]:
    """A row for every key, in order; those that the file holds already are not computed again.

    Args:
        path: the file; its folder is made. Delete it to start afresh.
        keys: what to compute, as tuples of numbers and strings.
        work: ``work(*key)`` gives the columns of a row.
        label: of the progress bar.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = list(keys)
    done = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):  # the last may be cut off
                key, row = json.loads(line)
                done[tuple(key)] = row
        path.write_text("".join(_line(key, row) for key, row in done.items()), encoding="utf-8")
    with open(path, "a", encoding="utf-8") as file, progress(label, len(wanted)) as show:
        for number, key in enumerate(wanted):
            if key not in done:
                done[key] = work(*key)
                file.write(_line(key, done[key]))
                file.flush()
                os.fsync(file.fileno())
            show(number + 1)
    return [done[key] for key in wanted]


def _line(key: tuple[Any, ...], row: dict[str, Any]) -> str:
    return json.dumps([list(key), row]) + "\n"
