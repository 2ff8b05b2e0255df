"""The one form every verification rule takes: an accept ladder and a residual law.

Given the drafts at hand, the rule walks them in order. Draft i is taken with probability
``accept[i]``, given that the earlier ones were not; if none is taken, the output is a draw from
``residual``. Any conditional output law can be written so (chain rule), which is why this one type
carries rejection sampling, couplings and optimal plans alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectheory.arrays import Array, capped_ratio, is_exact, is_token, namespace, pick, running_sum
from spectheory.errors import ShapeError


class Draw(NamedTuple):
    """A sampled output.

    Attributes:
        token: ``(...)`` output token.
        slot: ``(...)`` draft slot that was accepted, or k where the residual law was drawn from.
    """

    token: Array
    slot: Array


@dataclass(frozen=True)
class Verdict:
    """What a rule does with the drafts at hand.

    Attributes:
        drafts: ``(..., k)`` integer tokens.
        accept: ``(..., k)`` probability of taking each draft given that the earlier ones failed.
        residual: ``(..., V)`` law of the output if all drafts fail. Where that has probability 0
            it is some law all the same (rules use the target), so nothing divides by zero.

    >>> import numpy as np
    >>> verdict = Verdict(np.array([0]), np.array([0.5]), np.array([0.0, 1.0]))
    >>> verdict.law().tolist()
    [0.5, 0.5]
    >>> draw = verdict.sample(np.array([0.4, 0.9]))
    >>> int(draw.token), int(draw.slot)
    (0, 0)
    """

    drafts: Array
    accept: Array
    residual: Array

    @classmethod
    def from_masses(cls, drafts: Array, masses: Array, residual: Array) -> Verdict:
        """The verdict that outputs ``drafts[i]`` through slot i with probability ``masses[i]``.

        ``masses`` is ``(..., k)`` and unconditional; the ladder's conditional probabilities follow.
        """
        xp = namespace(masses)
        before = xp.cumulative_sum(masses, axis=-1) - masses
        return cls(drafts, capped_ratio(masses, 1 - before), residual)

    def masses(self) -> Array:
        """``(..., k + 1)``: unconditional probability of each slot, the residual last."""
        xp = namespace(self.accept)
        reach = self.accept[..., :1] * 0 + 1
        slots = []
        for i in range(self.accept.shape[-1]):
            taken = self.accept[..., i : i + 1]
            slots.append(reach * taken)
            reach = reach * (1 - taken)
        return xp.concat([*slots, reach], axis=-1)

    def law(self) -> Array:
        """``(..., V)``: the exact law of the output given these drafts."""
        xp = namespace(self.accept, self.residual)
        masses = self.masses()
        law = masses[..., -1:] * self.residual
        for i in range(self.accept.shape[-1]):
            hit = is_token(self.drafts[..., i], law)
            law = law + xp.where(hit, masses[..., i : i + 1], law * 0)
        return law

    def ladder(self) -> Array:
        """``(...)``: probability that the accept ladder fires on some slot."""
        return 1 - self.masses()[..., -1]

    def acceptance(self) -> Array:
        """``(...)``: probability that the output is one of the drafts.

        At least `ladder`: the residual law may also land on a drafted token.
        """
        masses = self.masses()
        lucky = masses[..., -1] * 0
        for i in range(self.accept.shape[-1]):
            token = self.drafts[..., i]
            repeated = namespace(token).zeros_like(token, dtype=namespace(token).bool)
            for j in range(i):
                repeated = repeated | (self.drafts[..., j] == token)
            mass = pick(self.residual, token)
            lucky = lucky + namespace(mass).where(repeated, mass * 0, mass)
        return 1 - masses[..., -1] * (1 - lucky)

    def sample(self, uniforms: Array) -> Draw:
        """Draw the output on an explicit random tape.

        Args:
            uniforms: ``(..., k + 1)`` in [0, 1). Entry i decides slot i (taken if strictly below
                ``accept[i]``), entry k draws from the residual by inverse transform. Each is used
                once.

        Raises:
            ShapeError: the tape does not have k + 1 entries.
        """
        k = self.accept.shape[-1]
        if uniforms.shape[-1] != k + 1:
            raise ShapeError(
                f"`uniforms` has {uniforms.shape[-1]} entries on its last axis; expected "
                f"{k + 1}: one for each of {k} drafts and one for the residual"
            )
        xp = namespace(self.accept)
        taken = uniforms[..., :k] < self.accept
        failed = xp.cumulative_prod(xp.astype(xp.logical_not(taken), xp.int64), axis=-1)
        slot = xp.sum(failed, axis=-1)
        token = inverse_transform(self.residual, uniforms[..., k])
        for i in range(k):
            token = xp.where(slot == i, self.drafts[..., i], token)
        return Draw(token, slot)


def inverse_transform(law: Array, uniforms: Array) -> Array:
    """Token whose interval of the cumulative law holds the uniform; never one of mass zero.

    Args:
        law: ``(..., V)``, non-negative, need not be normalised.
        uniforms: ``(...)`` in [0, 1).

    >>> import numpy as np
    >>> inverse_transform(np.array([0.0, 0.25, 0.75, 0.0]), np.array([0.0, 0.3, 0.999])).tolist()
    [1, 2, 2]
    """
    xp = namespace(law)
    cumulative = running_sum(law)
    mass = cumulative[..., -1:]
    if law.ndim == 1 and isinstance(law, np.ndarray) and not is_exact(law):
        # A search of one row finds the counts that the comparisons below do.
        below = np.searchsorted(cumulative, uniforms * mass[0], side="right")
        return np.minimum(below, np.searchsorted(cumulative, mass[0]))
    below = xp.sum(xp.astype(cumulative <= uniforms[..., None] * mass, xp.int64), axis=-1)
    last = xp.sum(xp.astype(cumulative < mass, xp.int64), axis=-1)
    return xp.minimum(below, xp.broadcast_to(last, below.shape))
