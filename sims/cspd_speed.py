"""Printed speed-ups of continuous speculative decoding, against two schedules of a block.

One cost ratio a pair of models is fitted to its printed speed-ups as the mean of what each implies
under the schedule that drops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spectheory.cost.continuous import implied_cost, in_place_speed_up, truncating_speed_up
from spectheory.literature.printed import number
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    import polars


Printed = tuple[str, int, float, float]
SOURCE, ENTRY = "wang2024continuous", "speed_up"


def printed() -> tuple[Printed, ...]:
    """Pair, block, acceptance and speed-up as printed, by pair and block."""
    return tuple(
        (
            row["pair"],
            row["block"],
            number(SOURCE, ENTRY, "acceptance", pair=row["pair"], block=row["block"]).value,
            number(SOURCE, ENTRY, "speed_up", pair=row["pair"], block=row["block"]).value,
        )
        for row in reversed(reported(SOURCE)[ENTRY].value)
    )


@dataclass(frozen=True)
class Config:
    """The numbers.

    Attributes:
        printed: see `printed`.
    """

    printed: tuple[Printed, ...] = field(default_factory=printed)


def run(config: Config) -> polars.DataFrame:
    """Columns pair, block, acceptance, printed, cost, in_place, truncating."""
    import polars

    implied: dict[str, list[float]] = {}
    for pair, block, _, speed_up in config.printed:
        implied.setdefault(pair, []).append(implied_cost(speed_up, block))
    costs = {pair: float(np.mean(values)) for pair, values in implied.items()}
    return polars.DataFrame(
        {
            "pair": pair,
            "block": block,
            "acceptance": acceptance,
            "printed": speed_up,
            "cost": costs[pair],
            "in_place": in_place_speed_up(block, costs[pair]),
            "truncating": truncating_speed_up(acceptance, block, costs[pair]),
        }
        for pair, block, acceptance, speed_up in config.printed
    )
