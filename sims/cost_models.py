"""Speed-up under models of what drafting costs, in calls of the target.

A step drafts g tokens at cost c each and emits ``1 + a + .. + a^g`` in expectation. Serially it
takes ``1 + c g``; parallel execution drafts the next block meanwhile, ``max(1, c g)``, which is the
best case, as if a block drafted ahead were never wasted. A vocabulary pruned to the n most frequent
tokens of a Zipf law of exponent s loses the acceptance of what was cut, ``a(n) = a H_n / H_V``, and
saves output-head time: ``c(n) = c (1 - h + h n / V)``. An exit after the first L of N layers of the
target, with a head that takes the share h of a pass, costs ``c(L) = (1 - h) L / N + h`` and is
accepted with probability ``a(L) = (L / N) ** s``, s being small where exits were trained; g is the
best for each L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.cost.speedup import StepCost, expected_tokens, speedup

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The models' parameters.

    Attributes:
        acceptances: a.
        cost: c of the serial and parallel panels.
        blocks: g.
        vocab: V.
        exponent: s.
        heads: h, shares of the output head in a draft step.
        pruned_cost, pruned_block, pruned_acceptance: c, g and a of the pruning.
        points: sizes n tried, geometrically spaced.
        layers: N.
        exit_head: h of an exit.
        sharpness: s of exits.
    """

    acceptances: tuple[float, ...] = (0.6, 0.75, 0.9)
    cost: float = 0.1
    blocks: tuple[int, ...] = tuple(range(1, 25))
    vocab: int = 128_000
    exponent: float = 1.2
    heads: tuple[float, ...] = (0.2, 0.4, 0.6)
    pruned_cost: float = 0.1
    pruned_block: int = 5
    pruned_acceptance: float = 0.8
    points: int = 40
    layers: int = 30
    exit_head: float = 0.05
    sharpness: tuple[float, ...] = (0.1, 0.2, 0.4)


def run(config: Config) -> polars.DataFrame:
    """Columns model, parameter, x, speed_up.

    Of the models "serial" and "parallel" the parameter is a and x is g; of "pruned" h and n; of
    "exit" s and L.
    """
    import polars

    rows = []
    for rate in config.acceptances:
        for block in config.blocks:
            drafting = config.cost * block
            for model, hidden in (("serial", 0.0), ("parallel", min(1.0, drafting))):
                ratio = _speed_up([rate] * block, drafting - hidden)
                rows.append((model, rate, float(block), ratio))
    mass = np.cumsum(np.arange(1, config.vocab + 1, dtype=np.float64) ** -config.exponent)
    sizes = np.unique(np.geomspace(100, config.vocab, config.points).round().astype(int))
    for head in config.heads:
        for size in sizes.tolist():
            rate = config.pruned_acceptance * float(mass[size - 1] / mass[-1])
            cost = config.pruned_cost * (1 - head + head * size / config.vocab)
            ratio = _speed_up([rate] * config.pruned_block, cost * config.pruned_block)
            rows.append(("pruned", head, float(size), ratio))
    for power in config.sharpness:
        for layer in range(1, config.layers):
            depth = layer / config.layers
            cost = (1 - config.exit_head) * depth + config.exit_head
            ratios = [_speed_up([depth**power] * g, cost * g) for g in config.blocks]
            rows.append(("exit", power, float(layer), max(ratios)))
    names = ["model", "parameter", "x", "speed_up"]
    return polars.DataFrame(rows, schema=names, orient="row")


def _speed_up(rates: list[float], drafting: float) -> float:
    """Expected speed-up of a step that drafts for so many target calls besides verifying."""
    return speedup(expected_tokens(rates), StepCost(drafting, 1.0), StepCost(0.0, 1.0))
