"""Acceptance and bias of the grouped test with rank windows and with partitions, on small laws.

The worked pair is one on which a window accepts less than plain rejection; beside it, random pairs
show how often that happens. A partition never does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from spectheory.distributions import from_logits, overlap, total_variation
from spectheory.literature.reported import reported
from spectheory.verification.grouped import Grouped
from spectheory.verification.token_groups import Partition, RankWindow, TokenGroups

if TYPE_CHECKING:
    import polars


def worked() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The worked pair, target and draft."""
    value = reported("worked_examples")["group_window"].value
    target, draft = (tuple(float(Fraction(x)) for x in value[n]) for n in ("target", "draft"))
    return target, draft


@dataclass(frozen=True)
class Config:
    """The laws and groups.

    Attributes:
        pair: target and draft of the worked example.
        widths: ranks to either side; partitions are into runs of ``2 width + 1`` tokens.
        vocab, pairs, spread, noise: random laws; draft logits are the target's plus noise.
        seed: of the random laws.
    """

    pair: tuple[tuple[float, ...], tuple[float, ...]] = field(default_factory=worked)
    widths: tuple[int, ...] = (0, 1, 2, 3, 5, 8)
    vocab: int = 32
    pairs: int = 2000
    spread: float = 1.5
    noise: float = 0.7
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns laws ("worked" or "random"), groups, width, accepted, rejection, below, bias.

    ``below``: share of pairs on which the groups accept less than rejection.
    """
    import polars

    rng = np.random.default_rng(config.seed)
    logits = config.spread * rng.standard_normal((config.pairs, config.vocab))
    noisy = logits + config.noise * rng.standard_normal(logits.shape)
    laws = {
        "worked": tuple(np.array([law]) for law in config.pair),
        "random": (from_logits(logits), from_logits(noisy)),
    }
    rows = []
    for name, (target, draft) in laws.items():
        plain = overlap(target, draft)
        for width in config.widths:
            runs = np.arange(target.shape[-1]) // (2 * width + 1)
            kinds: dict[str, TokenGroups] = {
                "window": RankWindow(width, width),
                "partition": Partition(runs),
            }
            for kind, groups in kinds.items():
                rule = Grouped(groups)
                rates = rule.rates(target, draft, 1)
                assert rates is not None
                bias = total_variation(target, rule.output_law(target, draft, 1))
                rows.append(
                    {
                        "laws": name,
                        "groups": kind,
                        "width": width,
                        "accepted": float(rates.ladder.mean()),
                        "rejection": float(plain.mean()),
                        "below": float((rates.ladder < plain - 1e-12).mean()),
                        "bias": float(bias.mean()),
                    }
                )
    return polars.DataFrame(rows)
