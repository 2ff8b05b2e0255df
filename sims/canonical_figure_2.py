"""Acceptance over a line of three-token targets against a uniform draft, k = 2, exactly.

The setting of khisti2025multi, Figure 2: draft uniform on 3 tokens, target (c, x, 1 - c - x). Every
value is computed on Fractions: rules by enumeration, the optimum by the dual over subsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import schemes
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.rule import rules

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The lines to walk.

    Attributes:
        c: first entry of the target, a line each.
        steps: points on a line, x from 0 to 1 - c.
        k: number of drafts.
    """

    c: tuple[Fraction, ...] = (Fraction(1, 3), Fraction(1, 6))
    steps: int = 36
    k: int = 2


def run(config: Config) -> polars.DataFrame:
    """Table with columns c, x, scheme, rule ("optimum" for the bound), acceptance, ladder."""
    import polars

    rows = []
    for c in config.c:
        for step in range(config.steps + 1):
            x = (1 - c) * Fraction(step, config.steps)
            target = np.array([c, x, 1 - c - x], dtype=object)
            draft = np.array([Fraction(1, 3)] * 3, dtype=object)
            for scheme in schemes().values():
                laws = np.stack([draft] * config.k) if scheme.per_slot else draft
                if not scheme.prefix_exact:
                    continue  # with equal slot laws it is the i.i.d. scheme again
                best = optimal_value(target, laws, config.k, scheme.key)
                rows.append((c, x, scheme.key, "optimum", best, best))
                for rule in rules().values():
                    if rule.lossless and rule.exact and rule.serves(scheme.key, config.k):
                        found = enumerate_rule(rule, scheme, target, laws, config.k)
                        rows.append((c, x, scheme.key, rule.key, found.acceptance, found.ladder))
    names = ("c", "x", "scheme", "rule", "acceptance", "ladder")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    text = {"scheme", "rule"}
    return polars.DataFrame(
        {name: v if name in text else [float(x) for x in v] for name, v in columns.items()}
    )
