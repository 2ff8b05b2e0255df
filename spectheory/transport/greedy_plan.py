"""The optimal plan for greedy drafts, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from spectheory.arrays import Array, capped_ratio, namespace, pick, positive_part, ratio, total
from spectheory.distributions import normalise
from spectheory.drafting.greedy import fixed_mask, rest_law
from spectheory.drafting.scheme import scheme
from spectheory.errors import ShapeError
from spectheory.verdict import Draw, Verdict


@dataclass(frozen=True)
class GreedyPlan:
    """Rejection on the one random draft; the fixed drafts take their whole target mass.

    With T the top k - 1 tokens and ``w = q / (1 - q(T))`` off T, the accepted mass is p on T and
    ``min(p, w)`` off T: acceptance ``p(T) + sum_{x not in T} min(p, w)``, the optimum.

    Attributes:
        target: ``(..., V)``.
        draft: ``(..., V)``.
        k: number of drafts.

    Reference: hu2025towards, section 4.

    >>> import numpy as np
    >>> plan = GreedyPlan(np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1]), 2)
    >>> plan.accepted_mass.round(12).tolist(), plan.residual.round(12).tolist()
    ([0.3, 0.4, 0.25], [0.0, 0.0, 1.0])
    """

    target: Array
    draft: Array
    k: int

    @property
    def accepted_mass(self) -> Array:
        """``(..., V)``: probability that the output is this token and is one of the drafts."""
        xp = namespace(self.target, self.draft)
        met = xp.minimum(self.target, rest_law(self.draft, self.k))
        return xp.where(self._fixed(), self.target, met)

    @property
    def residual(self) -> Array:
        """``(..., V)``: law of the output where no draft is taken."""
        left = positive_part(self.target - self.accepted_mass)
        return normalise(left, fallback=self.target)

    @property
    def value(self) -> Array:
        """``(...)``: acceptance of the plan, the optimum."""
        return total(self.accepted_mass)[..., 0]

    def verdict(self, drafts: Array) -> Verdict:
        """What the plan does with the drafts at hand.

        If the random draft fails, the output is drawn from p on T and ``(p - w)_+`` off T.

        Args:
            drafts: ``(..., k)`` with the random draft last, as `GreedyDrafts` orders them.

        Raises:
            ShapeError, ImpossibleDraft: not k drafts, or none that `GreedyDrafts` may draw.
        """
        if drafts.shape[-1:] != (self.k,):
            raise ShapeError(f"`drafts` has shape {tuple(drafts.shape)}; expected (..., {self.k})")
        scheme("greedy").check_drafts(self.draft, drafts)
        xp = namespace(self.target, self.draft)
        rest = rest_law(self.draft, self.k)
        token = drafts[..., self.k - 1]
        accept = capped_ratio(pick(self.target, token), pick(rest, token))
        left = xp.where(self._fixed(), self.target, positive_part(self.target - rest))
        left_total = total(left)[..., 0]
        masses = [
            (1 - accept) * ratio(pick(self.target, drafts[..., i]), left_total)
            for i in range(self.k - 1)
        ]
        return Verdict.from_masses(drafts, xp.stack([*masses, accept], axis=-1), self.residual)

    def sample(self, drafts: Array, uniforms: Array) -> Draw:
        """Draw the output on a tape; see `Verdict.sample`."""
        return self.verdict(drafts).sample(uniforms)

    def _fixed(self) -> Array:
        return fixed_mask(self.draft, self.k)
