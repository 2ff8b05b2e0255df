"""The law of the likelihood ratio r = p/q, on which every acceptance of a pair depends.

One function of it is enough for the overlap, for the optimum of k drafts and for the ladders that
fall short of it:

    C(c) = int min(p, c q)        concave and increasing, C(1) = overlap, C(c) / c -> 1 at 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np


class RatioLaw(ABC):
    """The law of r under target and draft, to the precision of float64.

    Class facts:
        method: how `log_capped` is computed.
    """

    method: ClassVar[str]

    @abstractmethod
    def log_capped(self, log_cap: Any) -> np.ndarray:
        """``log int min(p, c q)`` at each ``log c``, of that shape."""

    @abstractmethod
    def log_affinity(self, power: float) -> float:
        """``log int p^s q^(1-s)`` at a real s; inf where the integral diverges.

        It may also be inf where divergence cannot be excluded, so bounds from it stay bounds.
        """

    @abstractmethod
    def divergence(self) -> float:
        """``KL(p || q)`` in nats; inf where it is, or where that cannot be excluded."""

    @abstractmethod
    def reverse_divergence(self) -> float:
        """``KL(q || p)`` in nats; inf as `divergence`."""

    @abstractmethod
    def log_harmonic(self) -> float:
        """``log int 2 p q / (p + q)``, which is ``log(1 - LC)`` of the Le Cam distance."""

    @abstractmethod
    def log_supremum(self) -> float:
        """``log sup p/q`` over the draft's support; inf where there is no bound, or q misses p."""

    def atoms(self) -> np.ndarray:
        """Log ratios that weigh in by themselves; none unless a law says otherwise."""
        return np.empty(0)

    def capped(self, cap: Any) -> np.ndarray:
        """``int min(p, c q)`` at each cap c >= 0."""
        with np.errstate(divide="ignore"):
            return np.exp(self.log_capped(np.log(np.asarray(cap, dtype=np.float64))))
