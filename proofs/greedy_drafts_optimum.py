"""The rule for greedy drafts is optimal, and SpecHub is optimal for two.

Statement: with the k - 1 most probable tokens T fixed and one draw w from the rest, the largest
acceptance of any lossless rule is ``p(T) + sum_{x not in T} min(p, w)``: that of `GreedyOptimal`
and, for k = 2, of `SpecHub`, both by their closed forms and by their verdicts.

Assumptions: V = 3 with k = 1, 2.

Machine-checked: for all p and q, that the closed forms and the acceptance enumerated over drafts
are the least of all 2^V subset bounds, region by region, on the library's own code. That the rules
are lossless: `every_rule_keeps_its_law`.

Argued: that no lossless rule passes a subset bound (`prefix_attains_the_dual`); tokens named by
descending q.

Reference: hu2025towards, section 4; sun2024spechub.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from proofs import Checked
from proofs._laws import all_drafts_within, by_draft, drafts_of, for_all_laws, subsets
from spectheory.drafting.scheme import scheme
from spectheory.verification.greedy_optimal import GreedyOptimal
from spectheory.verification.rule import VerificationRule
from spectheory.verification.spechub import SpecHub

RULES = (GreedyOptimal(), SpecHub())


def is_optimal(rules: Sequence[VerificationRule], k: int, p: np.ndarray, q: np.ndarray) -> None:
    """Closed form and enumerated acceptance of each rule are the least subset bound."""
    if sum(mass > 0 for mass in q) < k:
        return  # refused by the scheme: too few tokens to draw from
    tuples, chance = drafts_of(scheme("greedy"), q, k)
    bounds = [1 + sum(p * h) - all_drafts_within(tuples, chance, h) for h in subsets(3)]
    for rule in rules:
        if not rule.serves("greedy", k):
            continue
        closed = rule._rates(p[None], q[None], k, "greedy").acceptance[0]
        counted = sum(rule._verdict(p[None], q[None], tuples).acceptance() * chance)
        assert closed == counted, f"{rule.key}: closed form and enumeration differ"
        assert closed == min(bounds), f"{rule.key}: accepts {closed}, the optimum is {min(bounds)}"


def verify(rules: Sequence[VerificationRule] = RULES) -> Checked:
    """Check the statement for the two rules, or for others that claim to be optimal."""
    regions = sum(for_all_laws(3, partial(is_optimal, rules, k), within=by_draft) for k in (1, 2))
    return Checked("V = 3, k = 1, 2: all p, q", f"{regions} regions run, z3: no other")
