"""What passes over a few tokens cost on CPU, by how weights and grouped keys are read.

``python -m sims.small_passes`` times passes of SmolLM2 over 1 to 32 tokens behind texts of two
lengths, all ways in turns in one run: transformers as it comes, with keys and values of grouped
heads left uncopied, with weights that our kernels read in 32 and in 16 bits, and with compiled
layers. Times are the thread's own processor time. The table goes to sims/tables/small_passes.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spectheory.cli.machine import processor
from spectheory.decoding.grouped_heads import SWITCH
from spectheory.decoding.registry import load
from spectheory.decoding.session import Nodes
from spectheory.decoding.small_passes import speed_up_small_passes

TABLE = Path(__file__).parent / "tables" / "small_passes.md"


class Way(NamedTuple):
    """How a pass reads what it needs.

    Attributes:
        title: for the table.
        copies: whether keys and values are copied for each head of a group.
        kernel: whether small passes use our kernel.
        narrow: whether it reads weights in 16 bits.
        layers: whether what lies between the linear layers is compiled.
    """

    title: str
    copies: bool = False
    kernel: bool = False
    narrow: bool = False
    layers: bool = False


WAYS = (
    Way("as it comes", copies=True),
    Way("groups uncopied"),
    Way("and weights in 32 bits", kernel=True),
    Way("and tiles of 16-bit weights", kernel=True, narrow=True),
    Way("and compiled layers", kernel=True, narrow=True, layers=True),
)


@dataclass(frozen=True)
class Config:
    """What is timed.

    Attributes:
        model: key in the registry.
        texts: tokens that a pass looks back on.
        counts: tokens a pass.
        rounds: turns of all ways.
    """

    model: str = "smollm2"
    texts: tuple[int, ...] = (128, 1024)
    counts: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32)
    rounds: int = 15


@dataclass
class Reader:
    """A model behind a text, read in one way."""

    way: Way
    session: Any

    def seconds(self, tokens: Sequence[int]) -> float:
        """Processor time of a pass over some tokens, which are forgotten again."""
        with _copies(self.way.copies):
            before = time.thread_time()
            self.session.extend([Nodes.chain(tokens, len(tokens))])
            taken = time.thread_time() - before
        self.session.keep([[]])
        return taken


def readers(config: Config) -> list[tuple[Way, Any]]:
    """The ways, each with a model of its own."""
    found = []
    for way in WAYS:
        target: Any = load(config.model)
        if way.kernel:
            speed_up_small_passes(target.module, way.narrow, way.layers)
        found.append((way, target))
    return found


def measure(config: Config, models: Sequence[tuple[Way, Any]], length: int) -> list[str]:
    """Rows of the table behind texts of one length."""
    rng = np.random.default_rng(0)
    text = rng.integers(models[0][1].vocab_size, size=length + max(config.counts)).tolist()
    behind = []
    for way, target in models:
        session = target.session(1)
        session.extend([Nodes.chain(text[:length], 1)])
        session.keep([range(length)])
        behind.append(Reader(way, session))
    rows = []
    for count in config.counts:
        tokens = text[length : length + count]
        taken = np.array(
            [[reader.seconds(tokens) for reader in behind] for _ in range(config.rounds + 1)]
        )[1:]
        ratios = np.median(taken[:, :1] / taken, 0)
        cells = [
            f"{1e3 * ms:.1f} ({ratio:.2f}x)"
            for ms, ratio in zip(np.median(taken, 0), ratios, strict=True)
        ]
        rows.append(f"| {length} | {count} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def table(config: Config, rows: Sequence[str]) -> str:
    """The table as Markdown."""
    import transformers

    lines = [
        "# What passes over a few tokens cost on CPU",
        "",
        f"`python -m sims.small_passes`: {config.model} in float32, one thread, medians of "
        f"{config.rounds} turns in milliseconds of processor time, in brackets the speed over "
        "transformers as it comes (median of ratios within turns). Ways add up from left to right: "
        "keys and values of grouped heads left uncopied, then linear layers by our kernels, with "
        "weights read in 32 bits (up to 12 rows), then with tiles of the 16 bits that hold them "
        "exactly (up to 32 rows), then with what lies between these layers compiled.",
        "",
        f"{processor()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}.",
        "",
        f"| text | tokens | {' | '.join(way.title for way in WAYS)} |",
        "|--:|--:|" + "--:|" * len(WAYS),
        *rows,
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def _copies(wanted: bool) -> Iterator[None]:
    """Whether keys and values are copied for each head of a group."""
    if not wanted:
        yield
        return
    os.environ[SWITCH] = "0"
    try:
        yield
    finally:
        del os.environ[SWITCH]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=Config.rounds)
    config = Config(rounds=parser.parse_args().rounds)
    models = readers(config)
    torch.set_num_threads(1)
    rows = [row for length in config.texts for row in measure(config, models, length)]
    TABLE.write_text(table(config, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
