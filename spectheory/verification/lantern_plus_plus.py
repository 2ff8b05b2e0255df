"""LANTERN++: a token borrows no more than a multiple of its own target mass. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, number
from spectheory.errors import InputError
from spectheory.verification.lantern import Lantern


@dataclass(frozen=True)
class LanternPlusPlus(Lantern):
    """LANTERN whose token x may borrow at most ``(lambda - 1) p(x)``, so ``p(x)`` grows by lambda.

    What is accepted too much is therefore at most that of amplification by lambda,
    ``sum_x (q a - p)_+ <= b(lambda) - b(1)`` with ``b(w) = sum_x min(q, w p)``; the output law is
    LANTERN's formula with this budget.

    Args:
        factor: lambda >= 1.

    Reference: park2025lanternpp, released code; law and bound are ours.

    >>> import numpy as np
    >>> p, q = np.full(4, 0.25), np.array([0.5, 0.0, 0.5, 0.0])
    >>> LanternPlusPlus(factor=1.5).output_law(p, q, 1).round(4).tolist()
    [0.3125, 0.1458, 0.3958, 0.1458]
    """

    key: ClassVar[str] = "lantern_plus_plus"
    reference: ClassVar[str] = "park2025lanternpp"

    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.factor < float("inf"):
            raise InputError(f"`factor` is {self.factor}; expected a number >= 1")

    def budget(self, target: Array) -> Array:
        return target * number(self.factor - 1, target)
