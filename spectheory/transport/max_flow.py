"""The transport problem as a maximum flow on integers: exact for rational laws."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from spectheory.arrays import is_exact
from spectheory.errors import InputError
from spectheory.transport.plan import TransportPlan
from spectheory.transport.problem import TransportProblem

EDGE_LIMIT = 20_000


def solve(problem: TransportProblem) -> TransportPlan:
    """The optimal plan in exact arithmetic: value and dual are equal Fractions.

    Source to set with capacity P(S), set to each of its tokens without limit, token to sink with
    capacity p(x). Capacities are multiplied by their common denominator, so that the flow runs on
    Python integers. The tokens on the source side of a minimal cut are the witness.

    Raises:
        TooLarge: more than `EDGE_LIMIT` (set, token) pairs.
        InputError: the problem is in floats.

    Reference: ford1956maximal.

    >>> from spectheory.drafting.scheme import scheme
    >>> p, q = (np.array([Fraction(a, 9) for a in law]) for law in ((5, 4), (3, 6)))
    >>> plan = solve(TransportProblem.of(p, scheme("iid").law(q, 2)))
    >>> plan.value, plan.dual
    (Fraction(1, 1), Fraction(1, 1))
    """
    import networkx

    if not is_exact(problem.target):
        raise InputError(
            "the problem is in floats; maximum flow is exact on Fractions, for floats use "
            "transport.linear_program"
        )
    problem.refuse_above(EDGE_LIMIT, "max_flow", "floats and transport.linear_program")
    capacities = [Fraction(c) for c in (*problem.mass, *problem.target)]
    unit = math.lcm(*(c.denominator for c in capacities))
    graph = networkx.DiGraph()
    graph.add_nodes_from(["source", "sink"])
    for i, mass in enumerate(problem.mass):
        graph.add_edge("source", ("set", i), capacity=int(mass * unit))
    for x, mass in enumerate(problem.target):
        graph.add_edge(("token", x), "sink", capacity=int(mass * unit))
    index, token = problem.edges
    pairs = list(zip(index.tolist(), token.tolist(), strict=True))
    graph.add_edges_from((("set", i), ("token", x)) for i, x in pairs)
    solver = networkx.algorithms.flow.shortest_augmenting_path
    _, flow = networkx.maximum_flow(graph, "source", "sink", flow_func=solver)
    _, (reached, _) = networkx.minimum_cut(graph, "source", "sink", flow_func=solver)
    amounts = np.array([Fraction(flow["set", i]["token", x], unit) for i, x in pairs], dtype=object)
    cut = np.array([float(("token", x) in reached) for x in range(len(problem.target))])
    return TransportPlan.feasible(problem, amounts, cut)
