"""LANTERN: the target mass of look-alike tokens is lent to the draft. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import (
    Array,
    capped_ratio,
    namespace,
    number,
    pick,
    positive_part,
    ratio,
    total,
)
from spectheory.distributions import normalise
from spectheory.drafting.scheme import slot_law
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule
from spectheory.verification.token_groups import NEXT_IDS, Neighbourhoods


@dataclass(frozen=True)
class Lantern(VerificationRule):
    """Accept x with ``min(1, (p(x) + p(A)) / q(x))``, A its nearest codes with ``p(A) <= delta``.

    A is the longest such prefix of the neighbours N(x), nearest first. After a rejection of x the
    output is drawn from ``(p - q')_+``, where q' is q with x and N(x) set to 0. With
    ``a(x)`` the acceptance and ``w(x) = q(x) (1 - a(x)) / sum (p - q')_+`` the output law is
    ``q a + (p - q)_+ sum_{x: y not near x} w(x) + p sum_{x: y near x} w(x)``. Delta bounds what one
    token borrows, not the bias: with p uniform on N tokens, q uniform on every other one and
    delta = 1 / N, every draft is accepted and ``TV(out, p) = 1/2``.

    Args:
        delta: most mass that a token may borrow.
        neighbours: the look-alikes (default: the two nearest ids).

    Reference: jang2025lantern, released code; the law and the counterexample are ours.

    >>> import numpy as np
    >>> p, q = np.full(4, 0.25), np.array([0.5, 0.0, 0.5, 0.0])
    >>> Lantern(delta=0.25, neighbours=Neighbourhoods(1)).output_law(p, q, 1).tolist()
    [0.5, 0.0, 0.5, 0.0]
    """

    key: ClassVar[str] = "lantern"
    reference: ClassVar[str] = "jang2025lantern"
    lossless: ClassVar[bool] = False
    maximal_at_one: ClassVar[bool] = False
    most_drafts: ClassVar[int | None] = 1
    biased_under: ClassVar[tuple[str, ...]] = ("iid",)

    delta: float = 0.15
    neighbours: Neighbourhoods = NEXT_IDS

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1:
            raise InputError(f"`delta` is {self.delta}; expected a probability")

    def budget(self, target: Array) -> Array:
        """``(..., V)`` most mass that each token may borrow."""
        return target * 0 + number(self.delta, target)

    def accept(self, target: Array, draft: Array) -> Array:
        """``(..., V)`` probability of accepting each token, if it is drafted."""
        xp = namespace(target)
        budget = self.budget(target)
        sum_so_far = borrowed = target * 0
        for near in self.neighbours.columns(target):
            sum_so_far = sum_so_far + near
            borrowed = xp.where(sum_so_far <= budget, sum_so_far, borrowed)
        return capped_ratio(target + borrowed, draft)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        law, token = slot_law(draft, drafts, 0), drafts[..., 0]
        accept = pick(self.accept(target, law), token)[..., None]
        near = self.neighbours.near(token, target)
        cleared = namespace(law).where(near, law * 0, law + target * 0)
        left = positive_part(target - cleared)
        return Verdict(drafts, accept, normalise(left, fallback=target + left * 0))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        accept = self.accept(target, draft)
        ladder = total(draft * accept)[..., 0]
        return Rates(ladder + total(self._weights(target, draft) * target)[..., 0], ladder)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        weights = self._weights(target, draft)
        lent = self.neighbours.received(weights)
        missing = positive_part(target - draft)
        kept = draft * self.accept(target, draft)
        return kept + missing * (total(weights) - lent) + target * lent

    def _weights(self, target: Array, draft: Array) -> Array:
        """``(..., V)``: chance that x is drafted and refused, over the mass of its residual."""
        missing = positive_part(target - draft)
        around = target - missing
        for near in self.neighbours.columns(target - missing):
            around = around + near
        return ratio(draft * (1 - self.accept(target, draft)), total(missing) + around)
