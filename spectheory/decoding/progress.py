"""Progress on stderr: a bar where ``rich`` and a terminal are there, silence otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str, total: float, unit: str = "") -> Iterator[Callable[[float], None]]:
    """Show how far a piece of work is; yields a function to call with the amount done so far.

    Args:
        label: what is being done.
        total: the amount that is all of it.
        unit: ``"bytes"`` for a download with its speed, else a count.

    >>> with progress("counting", 2) as done:
    ...     done(1)
    """
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        yield lambda _: None
        return
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    if unit == "bytes":
        columns += [DownloadColumn(), TransferSpeedColumn()]
    else:
        columns += [MofNCompleteColumn()]
    console = Console(stderr=True)
    shown = Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
    with shown:
        task = shown.add_task(label, total=total)
        yield lambda amount: shown.update(task, completed=min(amount, total))


@contextmanager
def transformers_bars_off() -> Iterator[None]:
    """Keep transformers from drawing its own bars inside the block."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()
