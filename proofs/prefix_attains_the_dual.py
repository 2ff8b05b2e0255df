"""The optimum is the best of all subset bounds, and a prefix of the ratio order attains it.

Statement: ``min over all H of p(H) - Q(H)``, Q(H) the probability that all drafts lie in H, is
attained on a prefix of the scheme's order, so `optimal_value` is ``1 + min_H [p(H) - Q(H)]``; and
that is the largest acceptance of any lossless rule.

Assumptions: V = 3 and k = 2 for the four schemes with one draft law, V = 3 and k = 3 for i.i.d.

Machine-checked: the prefix statement for all p and q, by running `optimal_value` and all 2^V
subsets, Q enumerated from the scheme's tuples, on every region. For duality, that every square
submatrix of the transport problem's constraint matrix (V = 3, k = 2) has determinant -1, 0 or 1,
and that the library's exact maximum flow equals `optimal_value` on a grid of rational laws.

Argued: that total unimodularity makes the dual of the transport problem integral, so that it is a
minimum over subsets (strong duality of linear programs); tokens named as the order names them.

Reference: hu2025towards, Theorem 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from proofs import Checked
from proofs._laws import (
    all_drafts_within,
    by_draft,
    by_ratio,
    drafts_of,
    for_all_laws,
    optimum,
    subsets,
)
from spectheory.drafting.scheme import scheme
from spectheory.transport import max_flow
from spectheory.transport.problem import TransportProblem

CASES = (
    ("iid", 2),
    ("iid", 3),
    ("without_replacement", 2),
    ("distinct", 2),
    ("greedy", 2),
)
GRID = 6


def prove(value: Callable[..., object], key: str, k: int) -> int:
    """Prefix value = least subset bound, for all laws over three tokens."""

    def statement(p: np.ndarray, q: np.ndarray) -> None:
        if scheme(key).distinct and sum(mass > 0 for mass in q) < k:
            return  # refused by the scheme: too few tokens to draw from
        tuples, chance = drafts_of(scheme(key), q, k)
        found = value(p, q, k, key)
        bounds = [1 + sum(p * h) - all_drafts_within(tuples, chance, h) for h in subsets(3)]
        assert all(found <= bound for bound in bounds), f"{key}, k = {k}: above a subset bound"
        assert any(found == bound for bound in bounds), f"{key}, k = {k}: no subset attains it"

    within = by_draft if key == "greedy" else by_ratio
    return for_all_laws(3, statement, within=within, continuous=True)


def minors(matrix: np.ndarray) -> set[int]:
    """Values of all square subdeterminants of a small integer matrix."""
    rows, columns = matrix.shape
    found: set[int] = set()
    for size in range(1, min(rows, columns) + 1):
        chosen = list(itertools.combinations(range(rows), size))
        for picked in itertools.combinations(range(columns), size):
            blocks = np.stack([matrix[np.ix_(c, picked)] for c in chosen])
            # Entries 0 and 1, at most 9 x 9: float64 determinants are off by far less than 1/2.
            found.update(np.rint(np.linalg.det(blocks)).astype(int).tolist())
    return found


def constraint_matrix() -> np.ndarray:
    """Rows: draft sets and tokens; columns: (set, token) pairs; V = 3, k = 2, i.i.d."""
    third = np.array([Fraction(1, 3)] * 3, dtype=object)
    index, token = TransportProblem.of(third, scheme("iid").law(third, 2)).edges
    sets = np.arange(index.max() + 1)[:, None] == index
    return np.vstack([sets, np.arange(3)[:, None] == token]).astype(int)


def flow_equals_value(value: Callable[..., object]) -> int:
    """Exact maximum flow = value on a grid of rational laws; how many pairs."""
    laws = [
        np.array([Fraction(a, GRID), Fraction(b, GRID), Fraction(GRID - a - b, GRID)], dtype=object)
        for a in range(GRID + 1)
        for b in range(GRID + 1 - a)
    ]
    pairs = [(p, q) for p, q in itertools.product(laws[::3], laws[::2])]
    for p, q in pairs:
        plan = max_flow.solve(TransportProblem.of(p, scheme("iid").law(q, 2)))
        assert plan.value == value(p, q, 2, "iid"), f"maximum flow is {plan.value} at {p}, {q}"
    return len(pairs)


def verify(value: Callable[..., object] = optimum) -> Checked:
    """Check the statement for `optimal_value`, or for a function that claims to be it."""
    regions = sum(prove(value, key, k) for key, k in CASES)
    assert minors(constraint_matrix()) <= {-1, 0, 1}, "the transport matrix is not unimodular"
    pairs = flow_equals_value(value)
    return Checked(
        f"{len(CASES)} cases of scheme and k, V = 3: all p, q; all minors of the matrix",
        f"{regions} regions run, z3: no other; maximum flow on {pairs} exact pairs",
    )
