"""Grouped acceptance with the residual that makes the least of its bias. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, positive_part, total
from spectheory.distributions import normalise
from spectheory.verification.grouped import Grouped


@dataclass(frozen=True)
class GroupedBest(Grouped):
    """Accept x with ``min(1, P(G) / Q(G))`` and keep it, else draw from ``(p - acc)_+``.

    ``acc(x) = q(x) min(1, P / Q)(G(x))`` is what is accepted. The output law is
    ``acc + (1 - a) (p - acc)_+ / sum (p - acc)_+`` and its bias ``sum_x (acc - p)_+``, the lower
    bound of every residual, for any groups. The residual ``(p - q)_+`` has the same bias unless a
    window accepts less than ``1 - TV(p, q)``; a partition never does.

    Args:
        groups: a partition (default: pairs of adjacent token ids), or a rank window.

    Reference: so2025grouped for the test; the residual is ours.

    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.5, 0.3])
    >>> GroupedBest().output_law(p, q, 1).round(4).tolist()
    [0.2481, 0.4286, 0.3233]
    """

    key: ClassVar[str] = "grouped_best"

    def residual(self, target: Array, draft: Array) -> Array:
        missing = positive_part(target - self.accepted(target, draft))
        return normalise(missing, fallback=target)

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        kept = self.kept_mass(target, draft)
        missing = normalise(positive_part(target - kept), fallback=target)
        return kept + (1 - total(kept)) * missing
