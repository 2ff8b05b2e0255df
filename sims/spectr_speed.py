"""Speed-up of SpecTr and of one draft from their printed block efficiencies and one overhead.

A call with drafting takes ``1 + o`` calls of the target alone, so the speed-up is B / (1 + o). The
overhead o that the printed block efficiency and speed-up of SpecTr imply is used for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spectheory.literature.printed import number

if TYPE_CHECKING:
    import polars

SOURCE = "sun2023spectr"
METHODS = ("SpecTr", "speculative decoding")


def printed() -> tuple[float, ...]:
    """Speed-up of SpecTr, then the block efficiency of each method."""
    tokens = (number(SOURCE, "block_efficiency", "tokens", method=m).value for m in METHODS)
    return (number(SOURCE, "speed_up").value, *tokens)


@dataclass(frozen=True)
class Config:
    """The numbers and the overheads.

    Attributes:
        printed: see `printed`.
        most: largest overhead.
        steps: from 0 to it.
    """

    printed: tuple[float, ...] = field(default_factory=printed)
    most: float = 1.5
    steps: int = 30


def run(config: Config) -> polars.DataFrame:
    """Columns method, overhead, implied (whether it is the implied one), tokens, speed_up."""
    import polars

    speed_up, *tokens = config.printed
    implied = tokens[0] / speed_up - 1
    grid = [(o, False) for o in np.linspace(0, config.most, config.steps + 1).tolist()]
    rows = [
        (method, overhead, exact, efficiency, efficiency / (1 + overhead))
        for method, efficiency in zip(METHODS, tokens, strict=True)
        for overhead, exact in [*grid, (implied, True)]
    ]
    names = ["method", "overhead", "implied", "tokens", "speed_up"]
    return polars.DataFrame(rows, schema=names, orient="row")
