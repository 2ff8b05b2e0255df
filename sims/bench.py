"""Time the optimum for i.i.d. drafts: value, plan set-up and draws, beside a sort of the ratios.

``python -m sims.bench`` prints a Markdown table and writes it to out/bench.md, and the table as
Parquet to out/tables. Times are processor times, medians of interleaved repeats in one process, so
that ratios hold where the machine is shared; a row's sort is ``numpy.argsort`` of the same ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

import spectheory
from sims.runner import OUT, save
from spectheory.cli.machine import processor
from spectheory.decoding.logged import LoggedLogits
from spectheory.distributions import from_logits, overlap
from spectheory.drafting.scheme import scheme
from spectheory.transport.linear_program import solve
from spectheory.transport.problem import TransportProblem

if TYPE_CHECKING:
    import polars

DRAWS = 2_000


@dataclass(frozen=True)
class Config:
    """What to time.

    Attributes:
        sizes: vocabulary sizes of the synthetic laws.
        drafts: numbers of drafts.
        sigma: standard deviation of the noise that turns target logits into draft logits.
        repeats: interleaved repeats; the median is reported.
        tuples: the linear program is run, once, where the draft tuples are at most this many.
        logits: files of ``spectheory logits``; the draft of most overlap is used.
        positions: how many positions of each file are timed.
        seed: of the synthetic logits and the draws.
    """

    sizes: tuple[int, ...] = (
        *(50, 100, 200, 400, 1_000, 4_000, 16_000, 32_000, 65_536, 128_256, 262_144),
    )
    drafts: tuple[int, ...] = (2, 4, 8)
    sigma: float = 0.7
    repeats: int = 15
    tuples: int = 200_000
    logits: tuple[str, ...] = ()
    positions: int = 1
    seed: int = 0


def synthetic(size: int, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A Zipf-like target with noisy ranks, entropy near 4.5 nats at 128k, and a noisy draft.

    >>> target, draft = synthetic(1_000, 0.7, 0)
    >>> target.shape, round(float(draft.sum()), 12)
    ((1000,), 1.0)
    """
    rng = np.random.default_rng(seed)
    logits = -1.5 * np.log(np.arange(size) + 3.0) + rng.normal(size=size)
    rng.shuffle(logits)
    return from_logits(logits), from_logits(logits + sigma * rng.normal(size=size))


def pairs(config: Config) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Named (target, draft) laws."""
    for size in config.sizes:
        yield "synthetic", *synthetic(size, config.sigma, config.seed)
    for file in config.logits:
        logged = LoggedLogits.load(Path(file))
        for at in range(min(config.positions, len(logged.target))):
            target = from_logits(logged.target[at])
            laws = {name: from_logits(rows[at]) for name, rows in logged.drafts.items()}
            best = max(laws, key=lambda name: float(overlap(target, laws[name])))
            yield f"{Path(file).stem}, {best}", target, laws[best]


def linear_program(target: np.ndarray, draft: np.ndarray, k: int) -> float:
    """Optimal acceptance by the transport linear program."""
    return float(solve(TransportProblem.of(target, scheme("iid").law(draft, k))).value)


def measure(target: np.ndarray, draft: np.ndarray, k: int, config: Config) -> dict[str, Any]:
    """Times of one pair of laws; see `run`."""
    from spectheory.transport.grouped_plan import grouped_plan
    from spectheory.transport.iid_value import iid_optimum
    from spectheory.transport.score_kernel import score_kernel_plan

    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = target / draft
    rng = np.random.default_rng(config.seed)
    drafts = rng.choice(len(draft), size=(DRAWS, k), p=draft)
    tape = rng.random((DRAWS, k + 1))
    plan, grouped = score_kernel_plan(target, draft, k), grouped_plan(target, draft, k)
    tasks: dict[str, Callable[[], object]] = {
        "sort": lambda: np.argsort(ratios),
        "value": lambda: iid_optimum(target, draft, k),
        "exact": lambda: score_kernel_plan(target, draft, k),
        "grouped": lambda: grouped_plan(target, draft, k),
        "draw": lambda: plan.sample(drafts, tape),
    }
    taken: dict[str, list[float]] = {task: [] for task in tasks}
    for _ in range(config.repeats + 1):  # the first one warms up and is left out
        for task, call in tasks.items():
            start = process_time()
            call()
            taken[task].append(process_time() - start)
    times = {task: median(values[1:]) for task, values in taken.items()}
    program = None
    if len(draft) ** k <= config.tuples:
        start = process_time()
        found = linear_program(target, draft, k)
        program = process_time() - start
        assert abs(found - plan.value) < 1e-6, (found, plan.value)
    return {
        "optimum": float(plan.value),
        "grouped_loss": float(grouped.loss_bound),
        **(times | {"draw": times["draw"] / DRAWS}),
        "linear_program": program,
    }


def run(config: Config) -> polars.DataFrame:
    """One row a pair of laws and k, with progress on stderr.

    Columns: laws, size, k; optimum, the acceptance; grouped_loss, at most what the grouped plan
    gives away; and in seconds: sort, value, exact and grouped (set-up of the plans), draw (one of a
    batch), linear_program (null where the tuples are too many).
    """
    import polars
    from rich.console import Console
    from rich.progress import track

    linear_program(*synthetic(4, config.sigma, config.seed), 2)  # warms up
    cases = [(*pair, k) for pair in pairs(config) for k in config.drafts]
    rows = [
        {"laws": name, "size": len(draft), "k": k} | measure(target, draft, k, config)
        for name, target, draft, k in track(
            cases, "timing", console=Console(stderr=True), transient=True
        )
    ]
    return polars.DataFrame(rows, infer_schema_length=None)


def growth(sizes: np.ndarray, seconds: np.ndarray) -> float:
    """Exponent a of the least-squares fit ``seconds ~ size^a``.

    >>> round(growth(np.array([1, 10, 100]), np.array([3.0, 300.0, 30_000.0])), 12)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def render(table: polars.DataFrame) -> str:
    """The Markdown table; every time also as a multiple of the sort."""
    lines = [
        "| laws | V | k | optimum | sort, ms | value | exact plan | grouped plan | grouped loss <= "
        "| draw, µs | linear program |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in table.iter_rows(named=True):
        timed = [
            f"{1e3 * row[what]:.2f} ms ({row[what] / row['sort']:.2f}x)"
            for what in ("value", "exact", "grouped")
        ]
        seconds = row["linear_program"]
        program = "" if seconds is None else f"{1e3 * seconds:.0f} ms"
        lines.append(
            f"| {row['laws']} | {row['size']:,} | {row['k']} | {row['optimum']:.6f} "
            f"| {1e3 * row['sort']:.2f} | "
            + " | ".join(timed)
            + f" | {row['grouped_loss']:.0e} | {1e6 * row['draw']:.2f} | {program} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores and versions, for the foot of the table."""
    import numba
    import scipy

    return (
        f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, Numba {numba.__version__}, "
        f"spectheory {spectheory.__version__}. Processor time: medians of interleaved "
        "repeats; in brackets, multiples of `numpy.argsort` of the ratios; a draw: one of a batch."
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m sims.bench", description=__doc__)
    parser.add_argument("--logits", nargs="*", default=(), metavar="FILE.npz")
    parser.add_argument("--sizes", nargs="*", type=int, default=Config.sizes)
    parser.add_argument("--repeats", type=int, default=Config.repeats)
    parser.add_argument("--tables", type=Path, default=OUT / "tables", help="default %(default)s")
    options = parser.parse_args(given)
    config = Config(
        sizes=tuple(options.sizes), logits=tuple(options.logits), repeats=options.repeats
    )
    table = run(config)
    report = f"{render(table)}\n\n{machine()}\n"
    print(report, end="")
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.md").write_text(report, encoding="utf-8")
    command = shlex.join(["python", "-m", "sims.bench", *given])
    save(table, "bench", config, options.tables, machine=machine(), command=command)


if __name__ == "__main__":
    main()
