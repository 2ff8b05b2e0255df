"""Every lossless rule beside the optimum on real language models, by draft law and drafter.

``python -m sims.real_pairs`` measures what ``spectheory demo`` measures, with the same code, and
writes sims/tables/real_pairs-*.parquet: SmolLM2-135M with drafters of its own (V = 49,152), and
Qwen2.5-Coder 1.5B with its 0.5B (V = 151,936; weights from an unofficial copy), at positions of
HumanEval and plain text. Logits and finished measurements are kept in out/real_pairs, so that a
killed run goes on: a quarter of an hour for each pair on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims.runner import OUT, SHIPPED, save
from spectheory.cli.arguments import default_threads
from spectheory.cli.demo import measured
from spectheory.cli.demo_plan import Cell
from spectheory.cli.demo_plan import Config as Demo
from spectheory.cli.demo_table import rows_of
from spectheory.cli.logits import PROMPT_SETS, Request
from spectheory.cli.style import OPTIMUM
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """What is measured.

    Attributes:
        pairs: keys of the model pairs.
        iterative: of these, the pairs whose rules with iterative set-up are measured too.
        schemes: draft schemes; the heterogeneous one mixes drafters, so it is left to the demo.
        prompts: keys of the prompt sets.
        limit: texts taken from each set.
        longest: tokens kept of each text.
        positions: rows of logits, spread evenly over the texts.
        temperature: of target and drafts.
        counts: numbers of drafts k.
        draws: draft tuples a position for rules without a closed form.
        few: positions of rules whose set-up is an iteration.
        resamples: of the bootstrap over positions.
        seed: of positions, drafts and bootstrap.
    """

    pairs: tuple[str, ...] = ("smollm2", "qwen2.5")
    iterative: tuple[str, ...] = ("smollm2",)
    schemes: tuple[str, ...] = ("iid", "without_replacement", "distinct", "greedy")
    prompts: tuple[str, ...] = tuple(PROMPT_SETS.split(","))
    limit: int = 10
    longest: int = 128
    positions: int = 200
    temperature: float = 1.0
    counts: tuple[int, ...] = (1, 2, 4, 8)
    draws: int = 4
    few: int = 16
    resamples: int = 2000
    seed: int = 0

    def demo(self, pair: str) -> Demo:
        """The demonstration's configuration for a pair."""
        return Demo(
            Request(pair, self.prompts, (), self.limit, self.longest, self.positions, self.seed),
            self.temperature,
            self.counts,
            self.draws,
            self.resamples,
            self.few,
        )

    def cells(self, pair: str) -> list[Cell]:
        """What is measured of the demonstration's cells."""
        return [
            cell
            for cell in self.demo(pair).cells()
            if cell.scheme in self.schemes
            and (cell.rule == OPTIMUM or pair in self.iterative or not rule(cell.rule).iterative)
        ]


def run(config: Config, folder: Path = OUT / "real_pairs", threads: int = 0) -> polars.DataFrame:
    """One row a pair, scheme, draft, k and rule.

    Columns: those of the demonstration's table (`spectheory.cli.demo_table.rows_of`): acceptance,
    its optimum and the gap, each with its bootstrap interval over positions; and ``vocab_size``.

    Args:
        config: what to measure.
        folder: of logits and finished measurements.
        threads: of the measurements; 0 for as many as the command line would take. They change no
            number.
    """
    import polars

    tables = []
    for pair in config.pairs:
        demo = config.demo(pair)
        found, logged = measured(
            demo,
            config.cells(pair),
            folder,
            threads or default_threads(),
            allow_unofficial=True,
        )
        size = int(logged.target.shape[-1])
        rows = [row | {"vocab_size": size} for row in rows_of(demo, found)]
        tables.append(polars.DataFrame(rows))
    return polars.concat(tables)


def main(sim: str, about: str | None, config: Any, run: Callable[..., polars.DataFrame]) -> None:
    """Command line of a simulation on the pairs' logits."""
    parser = argparse.ArgumentParser(prog=f"python -m sims.{sim}", description=about)
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of logits and measurements")
    options = parser.parse_args()
    table = run(config, options.out / "real_pairs", options.threads)
    print(save(table, sim, config, SHIPPED))


if __name__ == "__main__":
    main("real_pairs", __doc__, Config(), run)
