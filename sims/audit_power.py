"""The smallest bias that the audit sees at V = 50,257, by test and direction: planned and measured.

``python -m sims.audit_power`` writes sims/tables/audit_power.md and .parquet. A bias is planned to
be seen with probability 0.8; the measured column audits samplers with just that bias, and says how
many of them were found out within the draws. An interrupted run goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sims.audit_false_alarms import interval
from sims.bench import synthetic
from sims.runner import AUDIT, Place
from spectheory.audit.battery import TESTS, KnownTargetAudit
from spectheory.audit.biases import DIRECTIONS, biased_law
from spectheory.audit.context import Context
from spectheory.audit.power import smallest_seen
from spectheory.audit.sampler import categorical
from spectheory.distributions import overlap

TABLE = Path(__file__).parent / "tables" / "audit_power.md"

MEASURED = 1
"""First word of the seeds of measured audits. It is not 0: NumPy pads seeds with zeros, so that
``[0, 0]`` gives the stream of 0, which the laws were drawn from."""


@dataclass(frozen=True)
class Config:
    """What to plan and to measure.

    Attributes:
        size: vocabulary.
        sigma: noise of the draft's logits.
        draws: audits of so many draws.
        alpha: false-alarm rate.
        power: probability with which a planned bias is seen.
        runs: measured audits for each number of draws.
        seed: of laws and draws.
    """

    size: int = 50_257
    sigma: float = 1.0
    draws: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    alpha: float = 1e-3
    power: float = 0.8
    runs: tuple[int, ...] = (20, 20, 20, 5)
    seed: int = 0


@cache
def audited(config: Config) -> Context:
    """What the audits compare with."""
    return Context.of(*laws(config))


@cache
def laws(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Target and draft."""
    return synthetic(config.size, config.sigma, config.seed)


def plan(config: Config, direction: str, draws: int, test: str) -> dict[str, Any]:
    """The smallest bias that one test is planned to see."""
    bias = smallest_seen(draws, config.alpha, config.power, *laws(config), direction, test)
    return {"bias": bias if np.isfinite(bias) else None}


def measure(config: Config, direction: str, draws: int, bias: float, run: int) -> dict[str, Any]:
    """Whether one audit of a sampler with this bias finds it within the draws."""
    context, law = audited(config), biased_law(*laws(config), direction, bias)
    seed = [MEASURED, config.seed, list(DIRECTIONS).index(direction), draws, run]
    rng = np.random.default_rng(seed)
    audit = KnownTargetAudit(config.size, config.alpha, TESTS[:-1])
    while audit.draws < draws and not audit.biased:
        piece = min(draws - audit.draws, max(1_000, draws // 20))
        audit.update(categorical(law, rng.random(piece)), context=context)
    return {"seen": audit.biased}


def run(config: Config, place: Place | None = None) -> Any:
    """Table: direction, draws, test, bias; for the battery also how often it was seen."""
    import polars

    place = place or Place()
    keys = [(d, n, test) for d in DIRECTIONS for n in config.draws for test in TESTS[:-1]]
    plans = place.fill(
        "audit_power", (config, "plans"), keys, lambda *key: plan(config, *key), AUDIT
    )
    rows: list[dict[str, Any]] = [
        dict(zip(("direction", "draws", "test"), key, strict=True)) | found
        for key, found in zip(keys, plans, strict=True)
    ]
    least = {
        (d, n): min(
            (r["bias"] for r in rows if (r["direction"], r["draws"]) == (d, n) and r["bias"]),
            default=None,
        )
        for d in DIRECTIONS
        for n in config.draws
    }
    rows += [
        {"direction": d, "draws": n, "test": "battery", "bias": bias}
        for (d, n), bias in least.items()
    ]
    runs = dict(zip(config.draws, config.runs, strict=True))
    trials = [
        (direction, n, bias, run)
        for (direction, n), bias in least.items()
        if bias is not None
        for run in range(runs[n])
    ]
    measured = place.fill(
        "audit_power", (config, "runs"), trials, lambda *key: measure(config, *key), AUDIT
    )
    found = polars.DataFrame(
        [
            {"direction": key[0], "draws": key[1], "seen": row["seen"]}
            for key, row in zip(trials, measured, strict=True)
        ]
    )
    counted = found.group_by("direction", "draws").agg(
        runs=polars.len(), seen=polars.col("seen").sum()
    )
    table = polars.DataFrame(rows, infer_schema_length=None)
    battery = polars.col("test") == "battery"
    counted = table.filter(battery).join(counted, on=["direction", "draws"], how="left")
    return polars.concat([counted, table.filter(~battery)], how="diagonal")


def render(config: Config, table: Any) -> str:
    """The Markdown tables: the battery planned and measured, then every test's plan."""
    target, draft = laws(config)
    entropy = -float((target * np.log(np.where(target > 0, target, 1.0))).sum())
    lines = [
        f"# Smallest bias that the audit sees, V = {config.size:,}",
        "",
        f"Total variation, per cent. Synthetic target of {entropy:.2f} nats, draft at total "
        f"variation {1 - float(overlap(target, draft)):.3f} from it; alpha = {config.alpha:g}, "
        f"power {config.power:g}; acceptance is not told. A dash: not seen at any size that the "
        "target allows. Made by `python -m sims.audit_power`.",
        "",
        "Planned for the whole audit, and the share of audits that found just this bias within the "
        "draws (with Clopper and Pearson's interval at 99 %):",
        "",
        "| direction | " + " | ".join(f"{n:,} draws | found" for n in config.draws) + " |",
        "|---|" + "--:|---|" * len(config.draws),
    ]
    for direction in DIRECTIONS:
        cells = []
        for n in config.draws:
            row = _row(table, direction, n, "battery")
            cells.append(_per_cent(row["bias"]))
            if row["runs"] is None:
                cells.append("")
            else:
                low, high = interval(row["seen"], row["runs"])
                cells.append(f"{row['seen']} of {row['runs']} ({low:.0%} to {high:.0%})")
        lines.append(f"| {direction} | " + " | ".join(cells) + " |")
    for n in config.draws:
        tests = TESTS[:-1]
        lines += ["", f"Planned for each test alone, {n:,} draws:", ""]
        lines += ["| direction | " + " | ".join(tests) + " |", "|---|" + "--:|" * len(tests)]
        for direction in DIRECTIONS:
            cells = [_per_cent(_row(table, direction, n, test)["bias"]) for test in tests]
            lines.append(f"| {direction} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row(table: Any, direction: str, draws: int, test: str) -> dict[str, Any]:
    import polars

    wanted = (
        (polars.col("direction") == direction)
        & (polars.col("draws") == draws)
        & (polars.col("test") == test)
    )
    row: dict[str, Any] = table.row(by_predicate=wanted, named=True)
    return row


def _per_cent(bias: float | None) -> str:
    return "–" if bias is None else f"{100 * bias:.3g}"


def main() -> None:
    """Run, and write the tables."""
    config = Config()
    table = run(config)
    TABLE.parent.mkdir(exist_ok=True)
    table.write_parquet(TABLE.with_suffix(".parquet"))
    TABLE.write_text(render(config, table), encoding="utf-8")
    print(render(config, table), end="")


if __name__ == "__main__":
    main()
