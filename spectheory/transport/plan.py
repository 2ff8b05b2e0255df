"""A transport plan as a verification rule: what it accepts, and what it leaves to the residual."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spectheory.arrays import Array, is_exact, positive_part, ratio
from spectheory.distributions import normalise
from spectheory.errors import ImpossibleDraft
from spectheory.transport.acceptance import TOLERANCE, Acceptance
from spectheory.transport.problem import NO_TOKEN, TransportProblem, canonical_sets
from spectheory.verdict import Draw, Verdict


@dataclass(frozen=True)
class TransportPlan:
    """How much of each draft set's mass goes to each of its tokens.

    A plan is feasible by construction (`feasible` trims what a numerical solver overshoots), so the
    rule it defines is lossless even where the solver was not accurate.

    Attributes:
        problem: what was solved.
        flow: ``(m, k)`` mass from each set to each of its tokens; 0 at `NO_TOKEN`.
        witness: ``(V,)`` mask of the subset whose bound is the dual value.

    >>> from spectheory.drafting.scheme import scheme
    >>> from spectheory.transport.linear_program import solve
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> plan = solve(TransportProblem.of(p, scheme("iid").law(q, 2)))
    >>> round(float(plan.value), 9), plan.witness.tolist()
    (0.89, [True, True, False])
    """

    problem: TransportProblem
    flow: Array
    witness: np.ndarray

    @classmethod
    def feasible(cls, problem: TransportProblem, flow: Array, score: np.ndarray) -> TransportPlan:
        """The plan of ``(e,)`` edge masses in the order of `TransportProblem.edges`.

        Args:
            problem: what was solved.
            flow: edge masses; negative ones count as 0, and where a row or a column is over its
                limit it is scaled down.
            score: ``(V,)`` dual values of the token limits, or the indicator of a minimal cut.
        """
        _, token = problem.edges
        table = np.zeros(problem.sets.shape, dtype=problem.mass.dtype)
        present = problem.sets != NO_TOKEN
        table[present] = flow
        table = positive_part(table)
        table = table * _shrink(np.sum(table, axis=-1), problem.mass)[:, None]
        received = np.zeros(problem.target.shape, dtype=problem.mass.dtype)
        np.add.at(received, token, table[present])
        table[present] = table[present] * _shrink(received, problem.target)[token]
        return cls(problem, table, problem.best_subset(score))

    @cached_property
    def accepted_mass(self) -> Array:
        """``(V,)``: probability that the output is this token and is one of the drafts."""
        mass = np.zeros(self.problem.target.shape, dtype=self.flow.dtype)
        present = self.problem.sets != NO_TOKEN
        np.add.at(mass, self.problem.sets[present], self.flow[present])
        return mass

    @property
    def residual(self) -> Array:
        """``(V,)``: law of the output where no draft is taken; the target if that never happens."""
        left = positive_part(self.problem.target - self.accepted_mass)
        return normalise(left, fallback=self.problem.target)

    @property
    def value(self) -> Array:
        """Acceptance of the plan: the lower bound."""
        return np.sum(self.accepted_mass)

    @property
    def dual(self) -> Array:
        """Bound of the witness: the upper bound."""
        return self.problem.bound(self.witness)

    def acceptance(self) -> Acceptance:
        """Both bounds with their gap."""
        tolerance = 0 if is_exact(self.problem.target) else TOLERANCE
        return Acceptance.between(self.value, self.dual, self.witness, tolerance, plan=self)

    def verdict(self, drafts: Array) -> Verdict:
        """What the plan does with the drafts at hand.

        Args:
            drafts: ``(..., k)`` integer tokens. A repeated token is taken through its first slot.

        Raises:
            ImpossibleDraft: a set of drafts that the law never proposes.
        """
        drafts = np.asarray(drafts)
        rows = canonical_sets(drafts)
        index = self._find(rows.reshape(-1, rows.shape[-1])).reshape(drafts.shape[:-1])
        share = ratio(self.flow, np.broadcast_to(self.problem.mass[:, None], self.flow.shape))
        members, shares = self.problem.sets[index], share[index]
        hit = drafts[..., :, None] == members[..., None, :]  # (..., slot, member)
        first = hit & (np.cumsum(hit, axis=-2) == 1)
        masses = np.sum(np.where(first, shares[..., None, :], shares[..., None, :] * 0), axis=-1)
        residual = np.broadcast_to(self.residual, (*drafts.shape[:-1], self.residual.shape[0]))
        return Verdict.from_masses(drafts, masses, residual)

    def sample(self, drafts: Array, uniforms: Array) -> Draw:
        """Draw the output on a tape; see `Verdict.sample`."""
        return self.verdict(drafts).sample(uniforms)

    def _find(self, rows: np.ndarray) -> np.ndarray:
        known = {tuple(row): i for i, row in enumerate(self.problem.sets.tolist())}
        try:
            return np.array([known[tuple(row)] for row in rows.tolist()], dtype=np.int64)
        except KeyError as missing:
            raise ImpossibleDraft(
                f"`drafts` holds the set {missing.args[0]}, which the draft law of this plan "
                "never proposes"
            ) from None


def _shrink(used: Array, limit: Array) -> Array:
    """Factor that brings ``used`` down to ``limit`` where it is above."""
    return np.where(used > limit, ratio(limit, used), used * 0 + 1)
