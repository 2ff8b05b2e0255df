"""How often the audit calls a lossless sampler biased, stopping at whichever draw it likes.

``python -m sims.audit_false_alarms`` runs 2,000 audits of law-lossless samplers at alpha = 0.01.
The e-process is looked at after every single draw, and one look above 1 / alpha is an alarm. By
Ville's inequality the rate is at most alpha; here it is counted. Results go to
sims/tables/audit_false_alarms.md and .parquet; an interrupted run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta, binom

from sims.bench import synthetic
from sims.runner import AUDIT, Place
from spectheory.audit.enumeration import enumerate_rule
from spectheory.audit.rule_sampler import RuleSampler
from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.sampler import Sampler, rejection_sampler
from spectheory.drafting.scheme import scheme
from spectheory.verification.rule import rule

TABLE = Path(__file__).parent / "tables" / "audit_false_alarms.md"


@dataclass(frozen=True)
class Config:
    """What to run.

    Attributes:
        runs: audits of each case.
        draws: draws of each audit.
        alpha: declared rate.
        seed: of all laws and draws.
    """

    runs: int = 200
    draws: int = 20_000
    alpha: float = 0.01
    seed: int = 0


class Case(NamedTuple):
    """A law-lossless sampler with its laws, drawn afresh for every run."""

    about: str
    sampler: Sampler
    job: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None, float | None]]


def _dirichlet(size: int, positions: int = 1) -> Callable[..., Any]:
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, None]:
        laws = rng.dirichlet(np.full(size, 0.3), (2, positions))
        return laws[0].squeeze(), laws[1].squeeze(), None

    return draw


def _synthetic(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return synthetic(size, 0.7, int(rng.integers(2**62)))


def _language_like(size: int) -> Callable[..., Any]:
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, None]:
        return *_synthetic(size, rng), None

    return draw


def _equal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, None]:
    target, _ = _synthetic(1_000, rng)
    return target, target, None


def _undrafted(rng: np.random.Generator) -> tuple[np.ndarray, None, None]:
    return _synthetic(1_000, rng)[0], None, None


def _nearly_certain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, None]:
    target, draft = _synthetic(1_000, rng)
    sure = np.zeros(1_000)
    sure[target.argmax()] = 1.0
    return 0.999 * sure + 0.001 * target, 0.99 * sure + 0.01 * draft, None


def _rule(key: str, scheme_key: str, k: int, size: int) -> tuple[Sampler, Callable[..., Any]]:
    sampler = RuleSampler(rule(key), scheme(scheme_key), k)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        target, draft = rng.dirichlet(np.full(size, 1.0), 2)
        exact = enumerate_rule(sampler.rule, sampler.scheme, target, draft, k)
        return target, draft, float(np.clip(exact.ladder, 0, 1))

    return sampler, draw


CASES = {
    "rejection, V = 8": Case("zeros and ties of laws", rejection_sampler, _dirichlet(8)),
    "rejection, V = 1,000": Case("", rejection_sampler, _language_like(1_000)),
    "rejection, V = 50,257": Case("", rejection_sampler, _language_like(50_257)),
    "rejection, 16 positions": Case("laws change by chunk", rejection_sampler, _dirichlet(50, 16)),
    "rejection, p = q": Case("every draft is accepted", rejection_sampler, _equal),
    "rejection, p nearly certain": Case("", rejection_sampler, _nearly_certain),
    "plain draws, V = 1,000": Case("no draft law", rejection_sampler, _undrafted),
    "recursive, k = 2": Case("exact acceptance", *_rule("recursive", "iid", 2, 12)),
    "k-seq, k = 3": Case("exact acceptance", *_rule("k_seq", "iid", 3, 8)),
    "without replacement, k = 3": Case(
        "exact acceptance",
        *_rule("recursive_without_replacement", "without_replacement", 3, 8),
    ),
}


def audit_once(config: Config, case: str, run: int) -> dict[str, Any]:
    """One audit: whether it alarmed, and its highest e-value."""
    words = np.random.SeedSequence([config.seed, list(CASES).index(case), run])
    of_laws, of_draws = (int(seed) for seed in words.generate_state(2, np.uint64))
    target, draft, acceptance = CASES[case].job(np.random.default_rng(of_laws))
    job = Job(target, draft, config.alpha, config.draws, of_draws, acceptance)
    report = audit_sampler(CASES[case].sampler, job)
    return {"case": case, "run": run, "alarm": report.biased, "log_e_peak": report.log_e_peak}


def run(config: Config, place: Place | None = None) -> Any:
    """Table with columns case, run, alarm, log_e_peak."""
    import polars

    keys = [(case, run) for case in CASES for run in range(config.runs)]
    rows = (place or Place()).fill(
        "audit_false_alarms", config, keys, lambda *key: audit_once(config, *key), AUDIT
    )
    return polars.DataFrame(rows)


def interval(alarms: int, runs: int, level: float = 0.99) -> tuple[float, float]:
    """Clopper and Pearson's interval for a rate.

    >>> [round(x, 4) for x in interval(0, 100)]
    [0.0, 0.0516]
    """
    out = (1 - level) / 2
    low = beta.ppf(out, alarms, runs - alarms + 1) if alarms else 0.0
    high = beta.ppf(1 - out, alarms + 1, runs - alarms) if alarms < runs else 1.0
    return float(low), float(high)


def render(config: Config, table: Any) -> str:
    """The Markdown table by case, and the whole."""
    lines = [
        f"# False alarms of the audit at alpha = {config.alpha:g}",
        "",
        f"Law-lossless samplers, {config.draws:,} draws an audit, looked at after every draw; laws "
        "and random numbers are new for every audit. The interval is Clopper and Pearson's at "
        "99 %. Made by `python -m sims.audit_false_alarms`.",
        "",
        "| sampler | audits | alarms | rate | interval | median of the highest e-value |",
        "|---|--:|--:|--:|---|--:|",
    ]
    parts = [(name, table.filter(table["case"] == name)) for name in CASES]
    for name, part in [*parts, ("**all**", table)]:
        runs, alarms = len(part), int(part["alarm"].sum())
        low, high = interval(alarms, runs)
        lines.append(
            f"| {name} | {runs:,} | {alarms} | {alarms / runs:.2%} | {low:.2%} to {high:.2%} | "
            f"{np.exp(part['log_e_peak'].median()):.2f} |"
        )
    runs, alarms = len(table), int(table["alarm"].sum())
    tail = binom.sf(alarms - 1, runs, config.alpha)
    lines += [
        "",
        f"At a true rate of {config.alpha:g}, {alarms} alarms or more in {runs:,} audits have "
        f"probability {tail:.3g}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, and write the table."""
    config = Config()
    table = run(config)
    TABLE.parent.mkdir(exist_ok=True)
    table.write_parquet(TABLE.with_suffix(".parquet"))
    TABLE.write_text(render(config, table), encoding="utf-8")
    print(render(config, table), end="")


if __name__ == "__main__":
    main()
