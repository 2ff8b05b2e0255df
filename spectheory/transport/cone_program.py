"""The transport problem through cvxpy: a second, independent numerical solver."""

from __future__ import annotations

import warnings

import numpy as np

from spectheory.arrays import is_exact
from spectheory.errors import InputError
from spectheory.transport.plan import TransportPlan
from spectheory.transport.problem import TransportProblem

EDGE_LIMIT = 200_000


def solve(problem: TransportProblem, solver: str = "CLARABEL") -> TransportPlan:
    """The optimal plan in float64, by an interior-point method.

    Args:
        problem: target and draft sets.
        solver: any linear-programming solver that cvxpy has installed.

    Raises:
        TooLarge: more than `EDGE_LIMIT` (set, token) pairs.
        InputError: the problem is exact; `max_flow` solves that without rounding.

    Reference: sun2023spectr, section 3.

    >>> from spectheory.drafting.scheme import scheme
    >>> law = scheme("iid").law(np.array([0.5, 0.5]), 2)
    >>> round(float(solve(TransportProblem.of(np.array([1.0, 0.0]), law)).value), 9)
    0.75
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cvxpy warns about optional solvers while it is imported
        import cvxpy

    from scipy.sparse import csr_array

    if is_exact(problem.target):
        raise InputError("the problem holds Fractions; use transport.max_flow, which is exact")
    problem.refuse_above(EDGE_LIMIT, "cone_program", "transport.linear_program")
    index, token = problem.edges
    count, size = len(index), problem.target.shape[0]
    one, edge = np.ones(count), np.arange(count)
    by_set = csr_array((one, (index, edge)), shape=(len(problem.mass), count))
    by_token = csr_array((one, (token, edge)), shape=(size, count))
    flow = cvxpy.Variable(count, nonneg=True)
    token_limit = by_token @ flow <= problem.target
    program = cvxpy.Problem(
        cvxpy.Maximize(cvxpy.sum(flow)), [by_set @ flow <= problem.mass, token_limit]
    )
    settings = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    program.solve(solver=solver, **(settings if solver == "CLARABEL" else {}))
    if program.status not in ("optimal", "optimal_inaccurate"):
        raise ArithmeticError(f"{solver} stopped without an optimum: {program.status}")
    return TransportPlan.feasible(problem, flow.value, np.asarray(token_limit.dual_value))
