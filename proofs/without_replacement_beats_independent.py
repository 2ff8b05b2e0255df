"""The optimum without replacement is at least that of as many i.i.d. drafts.

Statement: for sequential draws without replacement, Q(H) <= q(H)^k for every subset H, so the
optimal acceptance ``1 + min_H [p(H) - Q(H)]`` is at least that of k i.i.d. drafts.

Assumptions: V = 3 and k = 2 for the run; the step below for all V and k.

Machine-checked: for all p and q, on the library's `optimal_value` and on Q enumerated from the
scheme's tuples, region by region; and by z3 the step ``(s - x) / (1 - x) <= s`` for
0 <= x <= s <= 1, x < 1.

Argued: by induction on the draws with that step, s the mass of H that is left and x that of the
token drawn, Q(H) <= q(H)^k for every V and k. (For k = V both sides of the statement are plain: all
tokens are drafted.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import z3

from proofs import Checked
from proofs._laws import (
    all_drafts_within,
    by_ratio,
    drafts_of,
    for_all_laws,
    optimum,
    subsets,
)
from spectheory.drafting.scheme import scheme


def without_replacement_is_better(
    value: Callable[..., object], p: np.ndarray, q: np.ndarray
) -> None:
    """The value for two drafts without replacement is at least that for two i.i.d. drafts."""
    if sum(mass > 0 for mass in q) < 2:
        return  # nothing to draw after the first
    independent, distinct = (value(p, q, 2, key) for key in ("iid", "without_replacement"))
    assert distinct >= independent, f"{distinct} < {independent}"
    tuples, chance = drafts_of(scheme("without_replacement"), q, 2)
    for subset in subsets(3):
        assert all_drafts_within(tuples, chance, subset) <= sum(q * subset) ** 2, "Q > q(H)^2"


def verify(value: Callable[..., object] = optimum) -> Checked:
    """Check the statement for `optimal_value`, or for a function that claims to be it."""
    s, x = z3.Reals("s x")
    solver = z3.SolverFor("QF_NRA")
    solver.add(x >= 0, x <= s, s <= 1, x < 1, s - x > s * (1 - x))
    assert solver.check() == z3.unsat, "the step of the induction fails"
    regions = for_all_laws(
        3, partial(without_replacement_is_better, value), within=by_ratio, continuous=True
    )
    return Checked("V = 3, k = 2: all p, q; the step for all V, k", f"{regions} regions run, z3")
