"""Every coupling of density pairs at full size: output law, draft law, acceptance, proposals.

``python -m sims.continuous_couplings`` writes sims/tables/continuous_couplings.md. Each row draws
400,000 runs, audits outputs and first drafts (Kolmogorov-Smirnov and Anderson-Darling, in several
dimensions after a Rosenblatt transform), and compares the acceptance measured with the exact one.
An interrupted run goes on where it was.
"""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy.stats import norm

import spectheory
from sims.runner import Place
from spectheory.audit.continuous import audit_cdf, audit_transform
from spectheory.audit.discrepancy import Discrepancy
from spectheory.continuous.coupling import coupling, couplings
from spectheory.continuous.density import Density
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.mixture import Mixture, on_line
from spectheory.continuous.multi_draft import optimal_acceptance
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import exponential, laplace, student, uniform
from spectheory.errors import NoRatioLaw

TABLE = Path(__file__).parent / "tables" / "continuous_couplings.md"

SOURCES = ("*.py", "audit/*.py", "continuous/*.py", "kernels/*.py", "transport/*.py")
"""Parts of `spectheory` that rows depend on."""

_ROOT = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
SHIFTS = {f"shift {delta:g}": delta for delta in (0.5, 1.0, 2.0, 3.0)}
PAIRS = {
    name: ContinuousPair(Gaussian([delta, 0.0]), Gaussian([0.0, 0.0]))
    for name, delta in SHIFTS.items()
} | {
    "normals, two spreads": ContinuousPair(Gaussian(0.0), Gaussian(0.5, 2.89)),
    "Laplaces": ContinuousPair(laplace(1.3, 0.8), laplace(0.0, 0.8)),
    "exponentials": ContinuousPair(exponential(1.0), exponential(2.5)),
    "uniforms": ContinuousPair(uniform(0.0, 2.0), uniform(0.5, 3.0)),
    "Students": ContinuousPair(student(3.0), student(5.0, 1.0, 2.0)),
    "mixture, normal": ContinuousPair(
        Mixture([0.3, 0.7], [Gaussian(-1.0, 0.04), Gaussian(1.0)]), Gaussian(0.0, 2.25)
    ),
    "3-d, two covariances": ContinuousPair(
        Gaussian([0.3, 0.0, 0.2], _ROOT @ _ROOT.T), Gaussian(np.zeros(3), [1.0, 1.5, 0.7])
    ),
}


@dataclass(frozen=True)
class Config:
    """What to draw.

    Attributes:
        draws: runs of each coupling.
        drafts: numbers of drafts.
        alpha: false-alarm rate of one audit.
        seed: of all draws.
    """

    draws: int = 400_000
    drafts: tuple[int, ...] = (1, 2, 4, 8)
    alpha: float = 1e-6
    seed: int = 0


def cases(config: Config) -> list[tuple[str, str, int]]:
    """Pair, coupling and number of drafts, wherever the coupling serves."""
    return [
        (name, key, k)
        for name, pair in PAIRS.items()
        for key, one in couplings().items()
        for k in config.drafts
        if one.serves(pair, k)
    ]


def audited(law: Density, points: np.ndarray, alpha: float) -> Discrepancy:
    """Whether the points are draws of the law."""
    line = on_line(law)
    if line is not None:
        return audit_cdf(points, line.cdf, alpha)
    assert isinstance(law, Gaussian)
    return audit_transform(points, lambda x: norm.cdf(law.standardised(x)), alpha)


def measure(config: Config, name: str, key: str, k: int) -> dict[str, Any]:
    """One row."""
    pair = PAIRS[name]
    rng = np.random.default_rng([config.seed, k, len(name), *name.encode(), *key.encode()])
    drawn = coupling(key).draw(pair, config.draws, rng, k)
    try:
        exact = coupling(key).acceptance(pair, k)
    except NoRatioLaw:
        exact = math.nan
    measured = float(drawn.accepted.mean())
    output = audited(pair.target, drawn.sample, config.alpha)
    drafts = audited(pair.draft, drawn.drafts[:, 0], config.alpha)
    return {
        "optimum": optimal_acceptance(ratio_law(pair), k),
        "exact": exact,
        "measured": measured,
        "error": _error(measured if math.isnan(exact) else exact, config.draws),
        "proposals": float(drawn.proposals.mean()),
        "output": output.p_bound,
        "output_distance": output.upper,
        "drafts": drafts.p_bound,
    }


def run(
    config: Config, place: Place | None = None
) -> list[tuple[tuple[str, str, int], dict[str, Any]]]:
    """All rows; those in the ledger are not drawn again."""
    keys = cases(config)
    rows = (place or Place()).fill(
        "continuous_couplings", config, keys, lambda *key: measure(config, *key), SOURCES
    )
    return list(zip(keys, rows, strict=True))


def render(config: Config, rows: list[tuple[tuple[str, str, int], dict[str, Any]]]) -> str:
    """The Markdown table."""
    scores = [score for _, row in rows if (score := _score(row)) is not None]
    worst = max(abs(score) for score in scores)
    expected = norm.isf(0.5 / len(scores))
    lowest = min(min(row["output"], row["drafts"]) for _, row in rows)
    lines = [
        f"{len(rows)} couplings, {config.draws:,} runs each. Largest distance of a measured from "
        f"its exact acceptance: {worst:.2f} standard errors ({expected:.1f} is usual for the "
        f"largest of {len(scores)}). Least p-value of {2 * len(rows)} audits: {lowest:.2g}.",
        "",
        "| pair | coupling | k | optimum | exact | measured | standard errors | proposals a run | "
        "p-value, outputs | p-value, drafts |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (name, key, k), row in rows:
        score = _score(row)
        lines.append(
            f"| {name} | `{key}` | {k} | {row['optimum']:.6f} | "
            f"{'' if math.isnan(row['exact']) else format(row['exact'], '.6f')} | "
            f"{row['measured']:.6f} | {'' if score is None else format(score, '+.2f')} | "
            f"{row['proposals']:.3f} | {row['output']:.2g} | {row['drafts']:.2g} |"
        )
    versions = (
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"spectheory {spectheory.__version__}; seed {config.seed}"
    )
    return "\n".join([*lines, "", versions, ""])


def _error(rate: float, draws: int) -> float:
    """Standard error of a share; at the exact rate, as none at a measured 0 or 1 would be far."""
    return math.sqrt(max(0.0, rate * (1 - rate)) / draws)


def _score(row: dict[str, Any]) -> float | None:
    """Standard errors between measured and exact acceptance; None where the latter is not known."""
    if math.isnan(row["exact"]):
        return None
    difference = row["measured"] - row["exact"]
    if row["error"] == 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return float(difference / row["error"])


def main() -> None:
    """Draw what is missing and write the table."""
    config = Config()
    TABLE.write_text(render(config, run(config)))


if __name__ == "__main__":
    main()
