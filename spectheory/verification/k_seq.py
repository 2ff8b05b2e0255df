"""K-SEQ: sequential acceptance of i.i.d. drafts against a slowed-down ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import (
    Array,
    capped_ratio,
    is_exact,
    namespace,
    number,
    pick,
    positive_part,
    ratio,
    total,
)
from spectheory.distributions import normalise
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class KSeq(VerificationRule):
    """Accept each draft in turn with probability ``min(1, p(x) / (rho q(x)))``.

    With ``beta(rho) = sum min(p / rho, q)`` the ladder fires with probability
    ``1 - (1 - beta)^k``; if not, the output is drawn from
    ``(p - min(p / rho, q) (1 - (1 - beta)^k) / beta)_+``. Any rho in [rho*, k] is lossless, where
    rho* solves ``1 - (1 - beta)^k = rho beta``; rho* accepts most, and there no residual mass lies
    on a rejectable token.

    Args:
        rho: the slow-down; None finds rho* by bisection on [1, k], keeping the upper end of the
            bracket so that the rule stays exactly lossless.
        steps: bisection steps, each halving the bracket.

    Raises:
        InputError: a rho outside [rho*, k].

    Reference: sun2023spectr, Algorithm 2 and Theorem 2.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(KSeq().slowdown(p, q, 2)[0]), 9), round(float(KSeq().rates(p, q, 2).ladder), 9)
    (1.4, 0.84)
    """

    key: ClassVar[str] = "k_seq"
    reference: ClassVar[str] = "sun2023spectr"
    lossless_under: ClassVar[tuple[str, ...]] = ("iid",)

    rho: float | None = None
    steps: int = 48

    def slowdown(self, target: Array, draft: Array, k: int) -> Array:
        """``(..., 1)``: the rho in use, checked if it was given."""
        xp = namespace(target, draft)
        one = total(target) * 0 + 1
        if self.rho is not None:
            of_float = isinstance(self.rho, float)  # the proofs give symbols
            rho = one * (number(self.rho, target) if of_float else self.rho)
            slack = _excess(target, draft, rho, k)
            if not (1 <= self.rho <= k) or bool(xp.any(slack > _rounding(target))):
                best = KSeq(steps=self.steps).slowdown(target, draft, k)
                raise InputError(
                    f"`rho` is {self.rho}; lossless values run from rho* = "
                    f"{float(xp.max(best)):.9g} for these laws up to k = {k}"
                )
            return rho
        low, high = one, one * k
        for _ in range(self.steps if k > 1 else 0):
            middle = (low + high) / 2
            above = _excess(target, draft, middle, k) > 0
            low, high = xp.where(above, middle, low), xp.where(above, high, middle)
        # rho = 1 is the root where beta(1) = 1, a root of order k, so bisection cannot see it.
        at_one = _excess(target, draft, one, k) <= _rounding(target)
        return xp.where(at_one, one, high)

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target, draft)
        k = drafts.shape[-1]
        rho = self.slowdown(target, draft, k)
        clipped = xp.minimum(target / rho, draft)
        beta = total(clipped)
        accepted = 1 - (1 - beta) ** k
        scale = xp.where(beta > 0, ratio(accepted, beta), beta * 0)
        left = normalise(positive_part(target - clipped * scale), fallback=target)
        accept = xp.stack(
            [
                capped_ratio(pick(target / rho, drafts[..., i]), pick(draft, drafts[..., i]))
                for i in range(k)
            ],
            axis=-1,
        )
        return Verdict(drafts, accept, left)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        xp = namespace(target, draft)
        rho = self.slowdown(target, draft, k)
        clipped = xp.minimum(target / rho, draft)
        beta = total(clipped)
        ladder = 1 - (1 - beta) ** k
        # Conditioned on failure each draft is i.i.d. from (q - min(p / rho, q)) / (1 - beta).
        left = positive_part(target - clipped * xp.where(beta > 0, ratio(ladder, beta), beta * 0))
        rejected = ratio(draft - clipped, 1 - beta + draft * 0)
        lucky = total(left * (1 - (1 - rejected) ** k))
        # (left sums to 1 - ladder, so it is already weighted by the chance of getting there)
        return Rates((ladder + lucky)[..., 0], ladder[..., 0])


def _rounding(law: Array) -> float:
    """How far above 0 `_excess` may come out at a root: a few units in the last place."""
    return 0.0 if is_exact(law) else 8 * float(namespace(law).finfo(law.dtype).eps)


def _excess(target: Array, draft: Array, rho: Array, k: int) -> Array:
    """``1 - (1 - beta)^k - rho beta``: decreasing in rho, positive where rho is too small."""
    beta = total(namespace(target, draft).minimum(target / rho, draft))
    return 1 - (1 - beta) ** k - rho * beta
