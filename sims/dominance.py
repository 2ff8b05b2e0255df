"""Which rule accepts more than which, on random pairs of laws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.distributions import from_logits
from spectheory.drafting.scheme import schemes
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.rule import rules

if TYPE_CHECKING:
    import polars

MARGIN = 1e-9


@dataclass(frozen=True)
class Config:
    """The pairs.

    Attributes:
        pairs: of laws.
        vocab: tokens.
        k: drafts.
        spread: logits of both laws are normal with this deviation.
        seed: of the laws.
    """

    pairs: int = 4000
    vocab: int = 5
    k: int = 3
    spread: float = 2.0
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns row, column ("rule, scheme"), share of pairs where row accepts more, mean of row."""
    import polars

    rng = np.random.default_rng(config.seed)
    target, draft = from_logits(
        config.spread * rng.standard_normal((2, config.pairs, config.vocab))
    )
    rates: dict[str, np.ndarray] = {}
    for scheme in schemes().values():
        if scheme.per_slot or not scheme.prefix_exact:
            continue
        best = optimal_value(target, draft, config.k, scheme.key)
        rates[f"optimum, {scheme.key}"] = np.asarray(best)
        for rule in rules().values():
            # Rules by enumeration or optimisation only are left to the conformance tests.
            if rule.lossless and not rule.iterative and rule.serves(scheme.key, config.k):
                found = rule.rates(target, draft, config.k, scheme.key)
                if found is not None:
                    rates[f"{rule.key}, {scheme.key}"] = np.asarray(found.acceptance)
    return polars.DataFrame(
        [
            {
                "row": row,
                "column": column,
                "share": float((above > below + MARGIN).mean()),
                "mean": float(above.mean()),
            }
            for row, above in rates.items()
            for column, below in rates.items()
        ]
    )
