"""The optimum for i.i.d. drafts on real language models by sampling temperature, and two rules.

``python -m sims.real_pairs_heat`` does at other temperatures of target and drafts what
`sims.real_pairs` does at 1, on the same logits and with the same code, and writes
sims/tables/real_pairs_heat-*.parquet. Finished measurements are kept in out/real_pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sims import real_pairs
from sims.runner import OUT
from spectheory.cli.arguments import default_threads
from spectheory.cli.demo import measured
from spectheory.cli.demo_table import rows_of
from spectheory.cli.style import OPTIMUM

if TYPE_CHECKING:
    import polars


AT_ONE = real_pairs.Config(schemes=("iid",), iterative=())


@dataclass(frozen=True)
class Config:
    """What is measured.

    Attributes:
        at_one: models, positions, numbers of drafts and seed.
        temperatures: of target and drafts.
        rules: measured beside the optimum.
    """

    at_one: real_pairs.Config = AT_ONE
    temperatures: tuple[float, ...] = (0.4, 0.7, 1.0)
    rules: tuple[str, ...] = ("k_seq", "recursive")

    @property
    def seed(self) -> int:
        """Of positions and bootstrap."""
        return self.at_one.seed


def run(config: Config, folder: Path = OUT / "real_pairs", threads: int = 0) -> polars.DataFrame:
    """One row a temperature, pair, draft, k and rule; columns of `sims.real_pairs.run`."""
    import polars

    tables = []
    for temperature in config.temperatures:
        here = replace(config.at_one, temperature=temperature)
        for pair in here.pairs:
            cells = [c for c in here.cells(pair) if c.rule in (OPTIMUM, *config.rules)]
            found, logged = measured(
                here.demo(pair), cells, folder, threads or default_threads(), allow_unofficial=True
            )
            known = {"temperature": temperature, "vocab_size": int(logged.target.shape[-1])}
            rows = [row | known for row in rows_of(here.demo(pair), found)]
            tables.append(polars.DataFrame(rows))
    return polars.concat(tables)


if __name__ == "__main__":
    real_pairs.main("real_pairs_heat", __doc__, Config(), run)
