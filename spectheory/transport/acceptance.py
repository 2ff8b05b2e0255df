"""The optimal acceptance with the evidence for it: a bound from each side and a witness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spectheory.arrays import Array

TOLERANCE = 1e-9
"""Gap below which a float64 acceptance counts as certified; on Fractions the gap must be 0."""


@dataclass(frozen=True)
class Acceptance:
    """The most that any lossless rule can accept, between two bounds that anyone can recompute.

    Attributes:
        value: ``(...)`` the optimum: the upper bound, which the witness attains.
        primal: ``(...)`` lower bound. With a `base` it is ``sum_x min(b(x), p(x))``, which the
            lossless rule "pick a draft with law b, then one rejection step" reaches; without one
            it is a proved bound (branch and bound, maximum flow).
        dual: ``(...)`` upper bound ``1 + p(H) - Q(H)`` of the witness H.
        gap: ``(...)`` ``|dual - primal|``; bounds that contradict each other are a gap too.
        witness: ``(..., V)`` boolean mask of the subset H.
        certified: ``(...)`` whether the gap is at most `tolerance`.
        tolerance: 0 for exact arithmetic.
        base: ``(..., V)`` law b of the draft that the attaining rule picks, or None.
        plan: the transport plan, where a solver made one.

    >>> from fractions import Fraction
    >>> found = Acceptance.between(Fraction(8, 9), Fraction(8, 9), witness=None, tolerance=0)
    >>> found.value, found.certified
    (Fraction(8, 9), True)
    """

    value: Array
    primal: Array
    dual: Array
    gap: Array
    witness: Array
    certified: Array
    tolerance: float
    base: Array | None = None
    plan: Any = None

    @classmethod
    def between(
        cls,
        primal: Array,
        dual: Array,
        witness: Array,
        tolerance: float,
        base: Array | None = None,
        plan: Any = None,
    ) -> Acceptance:
        """The acceptance with these bounds."""
        gap = abs(dual - primal)
        return cls(dual, primal, dual, gap, witness, gap <= tolerance, tolerance, base, plan)
