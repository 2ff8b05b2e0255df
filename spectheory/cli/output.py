"""Where results and remarks go: JSON or a table on standard output, remarks on standard error."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any

from spectheory.errors import MissingDependency

if TYPE_CHECKING:
    from rich.console import Console


def print_json(document: Any) -> None:
    """One JSON document, numbers as plain floats and no NaN."""
    print(json.dumps(document, indent=2, allow_nan=False))


def note(text: str) -> None:
    """A remark for a person, on standard error."""
    print(f"spectheory: {text}", file=sys.stderr)


@contextmanager
def foreign_output() -> Iterator[None]:
    """Whatever the block prints goes to standard error, so that the result stands alone.

    Not only Python's prints: libraries and child processes write to the descriptor itself.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(AttributeError, OSError, TypeError):  # where C's buffers can be reached
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Iterable[str] = (),
    caption: str | None = None,
) -> None:
    """A table on standard output; the columns named in ``numeric`` are aligned right."""
    table_class = _rich("table").Table
    table = table_class(title=title, caption=caption, title_justify="left", caption_justify="left")
    numeric = set(numeric)
    for column in columns:
        right = column in numeric
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def console(stderr: bool = False) -> Console:
    """A console; one that is no terminal is wide enough for every table."""
    made: Console = _rich("console").Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = 200
    return made


def _rich(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"rich.{module}")
    except ImportError as error:
        raise MissingDependency(
            "tables need `rich`: pip install 'spectheory[cli]', or ask for --json"
        ) from error
