"""The transport problem by SciPy's HiGHS on sparse matrices: the default for a general law."""

from __future__ import annotations

import numpy as np

from spectheory.arrays import is_exact
from spectheory.errors import InputError
from spectheory.transport.plan import TransportPlan
from spectheory.transport.problem import TransportProblem

EDGE_LIMIT = 2_000_000


def solve(problem: TransportProblem) -> TransportPlan:
    """The optimal plan in float64, by the dual simplex.

    Raises:
        TooLarge: more than `EDGE_LIMIT` (set, token) pairs.
        InputError: the problem is exact; `max_flow` solves that without rounding.

    Reference: sun2023spectr, section 3; khisti2025multi, section 4.

    >>> from spectheory.drafting.scheme import scheme
    >>> law = scheme("without_replacement").law(np.array([0.5, 0.5]), 2)
    >>> round(float(solve(TransportProblem.of(np.array([1.0, 0.0]), law)).value), 12)
    1.0
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, vstack

    if is_exact(problem.target):
        raise InputError("the problem holds Fractions; use transport.max_flow, which is exact")
    problem.refuse_above(
        EDGE_LIMIT, "linear_program", "optimal_acceptance (value) and PriorityMixture (plan)"
    )
    index, token = problem.edges
    count, size = len(index), problem.target.shape[0]
    one, edge = np.ones(count), np.arange(count)
    limits = vstack(
        [
            csr_array((one, (index, edge)), shape=(len(problem.mass), count)),
            csr_array((one, (token, edge)), shape=(size, count)),
        ]
    )
    # Tighter than the default 1e-7, so that the value holds to 1e-9.
    found = linprog(
        -one,
        A_ub=limits,
        b_ub=np.concatenate([problem.mass, problem.target]),
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.status != 0:
        raise ArithmeticError(f"HiGHS stopped without an optimum: {found.message}")
    return TransportPlan.feasible(problem, found.x, -found.ineqlin.marginals[-size:])
