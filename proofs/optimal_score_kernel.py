"""The optimum for i.i.d. drafts is attained with accepted mass min(p, c q).

Statement: let alpha* be the optimum for k i.i.d. drafts and c such that ``sum min(p, c q) =
alpha*``. Then ``m = min(p, c q)`` satisfies ``m(H) <= 1 - (1 - q(H))^k`` for every subset H, so a
lossless rule accepts with just this mass, token by token.

Assumptions: V = 3 and k = 2; all p, q, zeros and ties included; q(x) = 0 only where tokens of
positive draft mass can carry alpha*, which is always so.

Machine-checked: the inequalities for all p and q, on the library's `optimal_value`, region by
region. On `score_kernel_plan`, which computes in float64, over the exact laws of a grid with V = 3,
k = 2 and 3: its accepted mass, enumerated over drafts from its verdicts, is min(p, c q) and sums to
the exact optimum, and its output law is p, all to 1e-12.

Argued: that an m below p with these inequalities can be realised (Hall's condition on a coverage
function, or Border's for scores); tokens named by ascending p / q.

Reference: spectheory2026optimal, section 3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import by_ratio, for_all_laws, optimum, subsets
from spectheory.drafting.scheme import scheme
from spectheory.transport.score_kernel import score_kernel_plan
from spectheory.transport.subset_dual import optimal_value

GRID, ROUNDING = 5, 1e-12


def clipped_draft(p: np.ndarray, q: np.ndarray, mass: Quantity) -> np.ndarray:
    """``min(p, c q)`` with the c for which it sums to ``mass``; tokens by ascending p / q."""
    found, left, draft_left = p * 0, mass, sum(q)
    for token in range(len(p)):
        if q[token] == 0:
            continue
        if p[token] * draft_left <= left * q[token]:  # c is at least p / q here
            found[token] = p[token]
            left, draft_left = left - p[token], draft_left - q[token]
        else:
            for rest in range(token, len(p)):
                found[rest] = left * q[rest] / draft_left
            break
    return found


def is_attainable(value: Callable[..., Quantity], k: int, p: np.ndarray, q: np.ndarray) -> None:
    """The clipped draft of mass alpha* is below p and below every coverage."""
    best = value(p, q, k, "iid")
    accepted = clipped_draft(p, q, best)
    assert sum(accepted) == best, "no c gives the optimum's mass"
    assert all(accepted[x] <= p[x] for x in range(len(p))), "accepts a token too often"
    for subset in subsets(len(p)):
        covered = 1 - (1 - sum(q * subset)) ** k
        assert sum(accepted * subset) <= covered, "accepts a set more often than it is drafted"


def plan_is_exact(make_plan: Callable[..., object], k: int) -> int:
    """Law, mass and value of the plan over a grid of laws; how many pairs."""
    counts = [(a, b, GRID - a - b) for a in range(1, GRID) for b in range(1, GRID - a)]
    laws = [np.array([Fraction(n, GRID) for n in row], dtype=object) for row in counts]
    for p, q in itertools.product(laws, repeat=2):
        plan = make_plan(p.astype(float), q.astype(float), k)
        tuples, chance = scheme("iid").law(q.astype(float), k)
        verdict = plan.verdict(tuples)  # type: ignore[attr-defined]
        error = np.abs(chance @ verdict.law() - p.astype(float)).max()
        assert error <= ROUNDING, f"output law off by {error} at {p}, {q}"
        best = optimal_value(p, q, k)
        assert abs(chance @ verdict.ladder() - float(best)) <= ROUNDING, f"not optimal at {p}, {q}"
        ranked = np.argsort(p / q, kind="stable")
        wanted = clipped_draft(p[ranked], q[ranked], best).astype(float)
        found = plan.accepted_mass[ranked]  # type: ignore[attr-defined]
        assert np.abs(found - wanted).max() <= ROUNDING, f"not min(p, c q) at {p}, {q}"
    return len(laws) ** 2


def verify(
    value: Callable[..., Quantity] = optimum, make_plan: Callable[..., object] = score_kernel_plan
) -> Checked:
    """Check the statement for the library's value and plan, or for others that claim to be them."""
    pairs = sum(plan_is_exact(make_plan, k) for k in (2, 3))
    regions = for_all_laws(3, partial(is_attainable, value, 2), within=by_ratio, continuous=True)
    return Checked(
        f"V = 3, k = 2: all p, q; the plan on {pairs} pairs of a grid, k = 2, 3",
        f"{regions} regions run, z3: no other; plan in float64 to 1e-12",
    )
