"""How far rules for i.i.d. drafts can fall behind the optimum: the worst pair of laws found.

A found ratio is attained, so the true worst one is at most that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectheory.transport.theory import ratio_bound, worst_ratio
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """What is searched.

    Attributes:
        rules: keys, with closed forms for i.i.d. drafts.
        drafts: numbers k.
        vocabs: sizes of vocabularies; the worst over them is kept.
        rounds, population: of the search.
        seed: of the search.
    """

    rules: tuple[str, ...] = ("k_seq", "recursive", "naive")
    drafts: tuple[int, ...] = (2, 3, 4)
    vocabs: tuple[int, ...] = (2, 3)
    rounds: int = 100
    population: int = 48
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns rule, k, vocab, ratio, target, draft, bound (of K-SEQ on i.i.d. drafts)."""
    import polars

    rows = []
    for key in config.rules:
        for k in config.drafts:
            search = {"rounds": config.rounds, "population": config.population}
            found = [
                worst_ratio(rule(key).rates, k, vocab, config.seed, **search)
                for vocab in config.vocabs
            ]
            worst = min(found, key=lambda one: one.ratio)
            rows.append(
                {
                    "rule": key,
                    "k": k,
                    "vocab": worst.target.size,
                    "ratio": worst.ratio,
                    "target": worst.target.tolist(),
                    "draft": worst.draft.tolist(),
                    "bound": ratio_bound(k),
                }
            )
    return polars.DataFrame(rows)
