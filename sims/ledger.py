"""Rows of a long simulation, one JSON line each, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sims.workers import Workers
from spectheory.cli.output import note
from spectheory.decoding.progress import progress

QUIET = 20.0
"""Seconds between lines of progress where standard error is no terminal."""


def fill(
    path: Path,
    keys: Iterable[tuple[Any, ...]],
    work: Callable[..., dict[str, Any]],
    label: str,
    workers: Workers | None = None,
) -> list[dict[str, Any]]:
    """A row for every key, in order; those that the file holds already are not computed again.

    Only this process writes, and a row is on disk before the next is taken in: killed at any time,
    a run has lost the cells that were being worked on and no other.

    Args:
        path: the file; its folder is made. Delete it to start afresh.
        keys: what to compute, as tuples of numbers and strings.
        work: ``work(*key)`` gives the columns of a row.
        label: of the progress bar.
        workers: who works; this process alone if not given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = list(keys)
    done = _read(path)
    missing = [key for key in dict.fromkeys(wanted) if key not in done]
    finished = len(wanted) - len(missing)
    with open(path, "a", encoding="utf-8") as file, remaining(label, len(wanted)) as show:
        show(finished)
        for key, row in (workers or Workers()).results(work, missing):
            done[key] = row
            file.write(_line(key, row))
            file.flush()
            os.fsync(file.fileno())
            finished += 1
            show(finished)
    return [done[key] for key in wanted]


@contextmanager
def remaining(
    label: str, total: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Progress with the time left: a bar on a terminal, else a line every `QUIET` seconds.

    The estimate goes by the cells of this run, not by those that an earlier one had finished.
    """
    if sys.stderr.isatty():
        with progress(label, total) as bar:
            yield bar
        return
    start: tuple[float, int] | None = None
    said = clock()

    def show(done: int) -> None:
        nonlocal start, said
        now = clock()
        if start is None:
            start = (now, done)
        elif now - said >= QUIET and done < total:
            said = now
            left = (now - start[0]) / (done - start[1]) * (total - done)
            note(f"{label}: {done:,} of {total:,}, about {_duration(left)} left")

    yield show


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"


def _read(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The finished rows; a last line that was cut off is taken off the file."""
    done: dict[tuple[Any, ...], dict[str, Any]] = {}
    if not path.exists():
        return done
    whole = 0
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            key, row = json.loads(line)
            done[tuple(key)] = row
            whole += len(line)
    os.truncate(path, whole)
    return done


def _line(key: tuple[Any, ...], row: dict[str, Any]) -> str:
    return json.dumps([list(key), row]) + "\n"
