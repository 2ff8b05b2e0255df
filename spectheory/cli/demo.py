"""Run the main job: every lossless rule beside the optimum on a real language model."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spectheory.cli.arguments import add_json, add_threads, count, seed, several, temperature
from spectheory.cli.logits import Request, add_prompts, collect
from spectheory.cli.output import console, note, print_json
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.cli.demo_cells import Measured
    from spectheory.cli.demo_plan import Cell, Config
    from spectheory.decoding.logged import LoggedLogits


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--pair",
        default="smollm2",
        help="smollm2 (default), qwen2.5, or tabular: random models, no download, seconds",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="default %(default)s")
    parser.add_argument("--k", type=_counts, default=(1, 2, 4, 8), metavar="K,K", help="1,2,4,8")
    parser.add_argument(
        "--temperature", type=temperature, default=1.0, metavar="T", help="default 1"
    )
    parser.add_argument("--seed", type=seed, default=0, help="default 0")
    parser.add_argument(
        "--draws",
        type=several,
        default=4,
        metavar="N",
        help="draft tuples a position for rules without a closed form (default %(default)s)",
    )
    parser.add_argument(
        "--resamples", type=count, default=2000, metavar="N", help="of the bootstrap (%(default)s)"
    )
    parser.add_argument(
        "--list", action="store_true", help="print what would be measured as JSON, load nothing"
    )
    add_prompts(parser)
    add_threads(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Log logits, measure, print, save; what an earlier run finished is taken from disk."""
    from spectheory.cli.demo_plan import Config

    config = Config(
        Request.of(options.pair, options),
        options.temperature,
        options.k,
        options.draws,
        options.resamples,
    )
    cells = config.cells()
    if options.list:
        slots = [slot._asdict() for slot in config.slots()]
        print_json(
            {
                "pair": options.pair,
                "k": list(config.counts),
                "slots": slots,
                "cells": [cell._asdict() for cell in cells],
            }
        )
        return
    start = time.perf_counter()
    results, logged = measured(
        config, cells, options.out, options.threads, options.allow_unofficial
    )
    _report(options, config, results, logged, time.perf_counter() - start)


def measured(
    config: Config, cells: Sequence[Cell], folder: Path, threads: int, allow_unofficial: bool
) -> tuple[dict[Cell, Measured], LoggedLogits]:
    """The cells' measurements and the logits; what the folder holds already is not done again."""
    from spectheory.cli.demo_cells import measure_all
    from spectheory.cli.journal import Journal

    _make_folder(folder)
    logged = logits(config, folder, allow_unofficial)
    journal = Journal(folder / "cells.jsonl")
    done = sum(config.cell_key(cell) in journal for cell in cells)
    if done:
        note(f"{done} of {len(cells)} measurements were finished by an earlier run")
    with _progress(len(cells), done) as finished:
        results = measure_all(config, cells, logged, journal, threads, finished)
    return results, logged


def logits(config: Config, folder: Path, allow_unofficial: bool) -> LoggedLogits:
    """The logged logits, from disk if an earlier run logged them."""
    from spectheory.decoding.logged import LoggedLogits

    path = _logits_file(config, folder)
    if path.exists():
        note(f"logits from {path}")
        return LoggedLogits.load(path)
    note(f"logging {config.request.positions} positions of {config.request.pair} to {folder}")
    logged = collect(config.request, allow_unofficial)
    logged.save(_logits_file(config, folder))  # the weights may not have been here before
    return logged


def _logits_file(config: Config, folder: Path) -> Path:
    return folder / f"{config.request.pair}-logits-{config.logits_key()}.npz"


def _report(
    options: argparse.Namespace,
    config: Config,
    results: dict[Cell, Measured],
    logged: LoggedLogits,
    seconds: float,
) -> None:
    from spectheory.cli import demo_figure, demo_table

    rows = demo_table.rows_of(config, results)
    table = options.out / f"{options.pair}.parquet"
    demo_table.write_table(table, rows, config, logged.meta)
    png, pdf = demo_figure.draw(options.out / f"{options.pair}.png", config, rows)
    headline = demo_table.headline(config, rows)
    if options.json:
        print_json(
            {
                "headline": headline,
                "pair": options.pair,
                "positions": config.request.positions,
                "vocab_size": int(logged.target.shape[-1]),
                "files": {"table": str(table), "png": str(png), "pdf": str(pdf)},
                "rows": rows,
            }
        )
        return
    print(
        f"P(output is one of the drafts) over {config.request.positions} positions of "
        f"{logged.meta['target']}, {logged.target.shape[-1]:,} tokens, temperature "
        f"{config.temperature:g}; 95% bootstrap interval over positions\n"
    )
    demo_table.print_groups(config, rows)
    print(headline)
    print(f"Table {table}, figure {png} and {pdf.name}; {seconds:.0f} s.")


def _counts(text: str) -> tuple[int, ...]:
    found = sorted({count(part.strip()) for part in text.split(",")})
    if found[-1] > 64:
        raise argparse.ArgumentTypeError(f"{found[-1]} drafts are more than 64")
    return tuple(found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"`--out` {folder}: {error.strerror}") from error


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[Cell], None]]:
    """A bar with the time left on a terminal, else a line now and then."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _lines(total, done)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn("{task.description:<48}"), BarColumn(), MofNCompleteColumn()]
    columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task("measuring", total=total)

        def finished(cell: Cell) -> None:
            label = f"{cell.scheme} {cell.draft} k={cell.k}"
            bar.update(task, advance=1, description=label)

        yield finished


def _lines(total: int, done: int, every: float = 20.0) -> Callable[[Cell], None]:
    start = last = time.monotonic()
    count = 0

    def finished(cell: Cell) -> None:
        nonlocal count, last
        count += 1
        now = time.monotonic()
        if now - last >= every and count > done:
            left = (now - start) * (total - count) / (count - done)
            print(f"spectheory demo: {count} of {total}, {left:.0f} s left", file=sys.stderr)
            last = now

    return finished
