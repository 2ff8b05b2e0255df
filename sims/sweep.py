"""Acceptance of every lossless rule: draft scheme x rule x k x temperature x draft quality.

``python -m sims.sweep`` runs Zipf laws and a Markov chain at small sizes; ``--full`` the full ones.
Logged logits of a real model are swept by `sims.sweep_logged`. A setting's rules see the same laws
and the same drafts. Where a rule has no closed form and its draft tuples are too many to go
through, drafts are drawn and the standard error is given; the ``error`` of an exact number is 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sims.runner import Place, main
from sims.sweep_laws import MARKOV, ZIPF, Laws, laws, logged_file
from spectheory.audit.rates import measure_rates
from spectheory.cli.demo_cells import optimum
from spectheory.cli.style import OPTIMUM
from spectheory.distributions import overlap
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.drafting.scheme import schemes
from spectheory.verification.rule import rule, rules

if TYPE_CHECKING:
    import polars

Cell = tuple[str, str, float, str, int, str]
"""Source, quality, temperature, scheme, k, rule (`OPTIMUM` for the optimum's value)."""


@dataclass(frozen=True)
class Config:
    """What is swept.

    Attributes:
        logits: files of ``spectheory logits``, besides the synthetic laws of each quality.
        sizes: vocabulary of the Zipf laws and states of the chain.
        positions: Zipf laws, and rows of each file.
        qualities: standard deviations of the draft's noise in logits.
        temperatures: of target and drafts.
        counts: numbers of drafts k.
        draws: draft tuples a position where a rule is sampled.
        few: positions of rules whose set-up is an iteration.
        seed: of laws and draws.
    """

    logits: tuple[str, ...] = ()
    sizes: tuple[int, int] = (1_000, 10)
    positions: int = 16
    qualities: tuple[float, ...] = (0.3, 0.7, 1.5)
    temperatures: tuple[float, ...] = (0.6, 1.0)
    counts: tuple[int, ...] = (1, 2, 4)
    draws: int = 256
    few: int = 4
    seed: int = 0

    def cells(self) -> list[Cell]:
        """Every lossless rule of the catalogue wherever it covers scheme and k, and the optimum."""
        synthetic = [(source, f"{q:g}") for source in (ZIPF, MARKOV) for q in self.qualities]
        logged = [(file, name) for file in self.logits for name in logged_file(file).drafts]
        return [
            (source, quality, temperature, scheme, k, key)
            for source, quality in synthetic + logged
            for temperature in self.temperatures
            for scheme in schemes()
            for k in self.counts
            for key in (
                OPTIMUM,
                *(r.key for r in rules().values() if r.lossless and r.serves(scheme, k)),
            )
        ]

    def laws(self, source: str, quality: str, temperature: float) -> Laws:
        """The setting's laws."""
        return laws(
            source,
            quality,
            temperature,
            sizes=self.sizes,
            positions=self.positions,
            slots=max(self.counts),
            seed=self.seed,
        )


FULL = Config(
    sizes=(32_000, 10),
    positions=64,
    qualities=(0.2, 0.4, 0.7, 1.0, 1.5, 2.0),
    temperatures=(0.4, 0.6, 0.8, 1.0, 1.2),
    counts=(1, 2, 4, 8),
    draws=64,
    few=8,
)


def measure(
    config: Config, source: str, quality: str, temperature: float, scheme: str, k: int, key: str
) -> dict[str, Any]:
    """One cell, position by position."""
    target, slots, weight = config.laws(source, quality, temperature)
    law = draft_scheme(scheme)
    draft = slots[:, :k] if law.per_slot else slots[:, 0]
    measured = None if key == OPTIMUM else rule(key)
    rows, draws = np.arange(len(target)), config.draws
    if measured is not None and measured.iterative and len(target) > config.few:
        rows = np.argsort(-weight, kind="stable")[: config.few]
        draws = draws * len(target) // config.few
    if measured is None:
        values, method = optimum(target, draft, k, law, threads=1)
        ladder, error = values, np.zeros(len(values))
    else:
        values, ladder, error, method = measure_rates(
            measured.bounded(), law, target[rows], draft[rows], k, draws=draws, seed=config.seed
        )
    return {
        "acceptance": values.tolist(),
        "ladder": ladder.tolist(),
        "error": error.tolist(),
        "method": method,
        "rows": rows.tolist(),
    }


def file_digest(path: str) -> str:
    """Names a file's content, so that rows made from another file of that name are not taken."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(config: Config, place: Place | None = None) -> polars.DataFrame:
    """One row a cell.

    Columns: source, quality, temperature, scheme, k, rule; positions and their share of the weight;
    overlap, ``1 - TV`` of the first slot; acceptance, ladder and error, weighted means; ``gap``,
    optimum less acceptance at the same positions; method, and the optimum's ("upper bound" where it
    is not attained for certain).
    """
    import polars

    cells = config.cells()
    made_from = (config, [file_digest(path) for path in config.logits])
    found = (place or Place()).fill("sweep", made_from, cells, lambda *cell: measure(config, *cell))
    best: dict[tuple[Any, ...], dict[str, Any]] = {
        cell[:-1]: row for cell, row in zip(cells, found, strict=True) if cell[-1] == OPTIMUM
    }
    table = []
    for cell, row in zip(cells, found, strict=True):
        source, quality, temperature, scheme, k, key = cell
        target, slots, weight = config.laws(source, quality, temperature)
        rows = np.array(row["rows"])
        share = float(weight[rows].sum())
        mean = weight[rows] / share
        bound = best[cell[:-1]]
        acceptance = float(mean @ row["acceptance"])
        table.append(
            {
                "source": source,
                "quality": quality,
                "temperature": temperature,
                "scheme": scheme,
                "k": k,
                "rule": key,
                "positions": len(rows),
                "share": share,
                "overlap": float(mean @ overlap(target[rows], slots[rows, 0])),
                "acceptance": acceptance,
                "ladder": float(mean @ row["ladder"]),
                "error": float(np.sqrt(mean**2 @ np.square(row["error"]))),
                "gap": float(mean @ np.array(bound["acceptance"])[rows]) - acceptance,
                "method": row["method"],
                "optimum": bound["method"],
            }
        )
    return polars.DataFrame(table)


def render(config: Config, table: polars.DataFrame) -> str:
    """Acceptances at the middle quality and temperature 1 or the nearest to it, by k."""
    import polars

    heat = min(config.temperatures, key=lambda t: abs(t - 1))
    lines = [
        "# Acceptance by source, draft scheme, rule and number of drafts",
        "",
        f"Zipf laws of V = {config.sizes[0]:,} at {config.positions} positions; a chain of "
        f"{config.sizes[1]} states, weighted by its stationary law; temperature {heat:g}; seed "
        f"{config.seed}. Acceptance is P(output is one of the k drafts). After ±, one standard "
        "error where drafts were drawn. Rules with iterative set-up stand on the "
        f"{config.few} heaviest positions only (marked *). The Parquet file beside holds every "
        "quality and temperature. Made by `python -m sims.sweep`.",
    ]
    for source in table["source"].unique(maintain_order=True):
        here = table.filter((polars.col("source") == source) & (polars.col("temperature") == heat))
        qualities = here["quality"].unique(maintain_order=True).to_list()
        quality = qualities[len(qualities) // 2]
        here = here.filter(polars.col("quality") == quality)
        one = here.filter(polars.col("rule") == OPTIMUM)["overlap"][0]
        lines += [
            "",
            f"## {source}, draft {quality}: overlap {one:.4f}",
            "",
            "| scheme | rule | " + " | ".join(f"k = {k}" for k in config.counts) + " |",
            "|---|---|" + "--:|" * len(config.counts),
        ]
        for (scheme, key), part in here.group_by("scheme", "rule", maintain_order=True):
            by_count = {row["k"]: row for row in part.iter_rows(named=True)}
            printed = " | ".join(shown(by_count.get(k)) for k in config.counts)
            lines.append(f"| `{scheme}` | `{key}` | {printed} |")
    return "\n".join(lines) + "\n"


def shown(row: dict[str, Any] | None) -> str:
    """An acceptance as the tables print it."""
    if row is None:
        return ""
    error = f" ± {row['error']:.4f}" if row["error"] >= 5e-5 else ""
    few = "*" if row["share"] < 1 - 1e-9 else ""
    bound = "≤ " if row["method"] == "upper bound" else ""
    return f"{bound}{row['acceptance']:.4f}{error}{few}"


if __name__ == "__main__":
    main("sweep", __doc__ or "", Config(), FULL, run, render)
