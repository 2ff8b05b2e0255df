"""An optimal plan for any draft law: what to accept, what to leave, and a sampler that does it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import check_pair, check_pmf
from spectheory.drafting.scheme import DraftLaw
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.errors import InputError
from spectheory.transport.greedy_plan import GreedyPlan
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.transport.problem import TransportProblem
from spectheory.verdict import Draw, Verdict


class Plan(Protocol):
    """What every plan offers; all are law-lossless, and differ in how near the optimum they come.

    accepted_mass ``(V,)``: P(output is this token and is one of the drafts); residual ``(V,)``: law
    of the output where no draft is taken; value: acceptance.
    """

    @property
    def accepted_mass(self) -> Array: ...
    @property
    def residual(self) -> Array: ...
    @property
    def value(self) -> Array: ...
    def verdict(self, drafts: Array) -> Verdict:
        """What the plan does with the drafts at hand, ``(..., k)``."""
        ...

    def sample(self, drafts: Array, uniforms: Array) -> Draw:
        """Draw the output on a tape of ``(..., k + 1)`` uniforms."""
        ...


def optimal_plan(
    target: Array,
    draft: Array | DraftLaw,
    k: int | None = None,
    scheme: str = "iid",
    *,
    gap: float = 1e-9,
    bins: int | None = None,
) -> Plan:
    """The plan that attains the optimum for one position.

    - `iid`: the exact score kernel, in O(V log V); with ``bins`` its grouped form, without a sort,
      whose loss is bounded by the plan's ``loss_bound``.
    - `greedy`: closed form.
    - `without_replacement`, `distinct`, `heterogeneous`: a mixture of priority orders, stopped at
      ``gap``; its own ``gap`` says how near it came.
    - any other law, given as (tuple, probability) pairs: the linear program, or on Fractions the
      maximum flow. Also for `iid` on Fractions.

    Args:
        target: ``(V,)``.
        draft: ``(V,)``, ``(k, V)`` for heterogeneous drafts, or a `DraftLaw`.
        k: number of drafts; with a `DraftLaw` it is known and left out.
        scheme: key of the draft scheme; not used with a `DraftLaw`.
        gap: for mixtures, how near the optimum is near enough.
        bins: for `iid`, number of groups of the grouped form; None for the exact plan.

    Raises:
        InputError: k missing, or ``bins`` with another scheme than `iid`.
        DistributionError, ShapeError, SupportError: bad laws.
        TooLarge: a `DraftLaw` or Fractions with too many tuples.

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> [round(float(optimal_plan(p, q, 2, s).value), 6) for s in ("iid", "greedy")]
    [0.89, 0.95]
    """
    if isinstance(draft, DraftLaw):
        return _program(target, draft)
    if k is None:
        raise InputError("`k` is missing: how many drafts are there at a position?")
    if bins is not None and (scheme != "iid" or is_exact(target)):
        raise InputError(f"`bins` is {bins}; only the float64 plan for `iid` drafts has groups")
    law = draft_scheme(scheme)
    law.check(draft, k)
    if scheme == "greedy":
        check_pair(target, draft)
        return GreedyPlan(target, draft, k)
    if scheme != "iid":
        return PriorityMixture.solve(target, draft, k, scheme, gap)
    if is_exact(target):
        return _program(target, law.law(draft, k))
    if bins is not None:
        from spectheory.transport.grouped_plan import grouped_plan

        return grouped_plan(target, draft, k, bins)
    from spectheory.transport.score_kernel import score_kernel_plan

    return score_kernel_plan(target, draft, k)


def _program(target: Array, law: DraftLaw) -> Plan:
    check_pmf("target", target)
    problem = TransportProblem.of(np.asarray(target), law)
    if is_exact(target):
        from spectheory.transport import max_flow

        return max_flow.solve(problem)
    from spectheory.transport import linear_program

    return linear_program.solve(problem)
