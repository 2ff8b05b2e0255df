"""Overlap of two Gaussians a shift apart and every bound on it, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.continuous.bounds import acceptance_bounds
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.overlap import overlap
from spectheory.continuous.pair import ContinuousPair

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The shifts, in standard deviations.

    Attributes:
        most: largest.
        steps: from 0 to it.
    """

    most: float = 4.0
    steps: int = 40


def run(config: Config) -> polars.DataFrame:
    """Columns shift, side ("exact" for the overlap itself), bound, value."""
    import polars

    rows = []
    for shift in np.linspace(0.0, config.most, config.steps + 1).tolist():
        pair = ContinuousPair(Gaussian(shift), Gaussian(0.0))
        rows.append((shift, "exact", "overlap", overlap(pair).value))
        rows += [(shift, b.side, b.name, b.value) for b in acceptance_bounds(pair)]
    return polars.DataFrame(rows, schema=["shift", "side", "bound", "value"], orient="row")
