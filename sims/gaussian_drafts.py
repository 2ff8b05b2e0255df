"""Acceptance of k i.i.d. Gaussian drafts: the optimum, K-SEQ and recursive rejection, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectheory.continuous.gaussian_ratio import GaussianShift
from spectheory.continuous.multi_draft import ladder_k_seq, optimal_acceptance, recursion

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """What is computed.

    Attributes:
        shifts: distances of the means, in standard deviations.
        drafts: numbers of drafts.
    """

    shifts: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0)
    drafts: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def run(config: Config) -> polars.DataFrame:
    """Columns shift, k, rule ("optimum" for the bound), acceptance."""
    import polars

    rows: list[tuple[float, int, str, float]] = []
    for shift in config.shifts:
        law = GaussianShift(shift)
        for k in config.drafts:
            rows += [
                (shift, k, "optimum", optimal_acceptance(law, k)),
                (shift, k, "k_seq", ladder_k_seq(law, k)),
                (shift, k, "recursive", 1 - float(recursion(law, k)[1][-1])),
            ]
    return polars.DataFrame(rows, schema=["shift", "k", "rule", "acceptance"], orient="row")
