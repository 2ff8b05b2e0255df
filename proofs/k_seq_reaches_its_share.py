"""K-SEQ has one best slow-down, and accepts at least 1 - (1 - 1/k)^k >= 1 - 1/e of the optimum.

Statement: with ``beta(rho) = sum min(p / rho, q)``, the function ``1 - (1 - beta)^k - rho beta`` is
nonincreasing on [1, k], at least 0 at 1 and at most 0 at k, so the admissible rho are an interval
[rho*, k]; and the ladder ``1 - (1 - beta(rho*))^k`` is at least ``1 - (1 - 1/k)^k`` times the
optimum.

Assumptions: k = 2..5 in the scalar steps; V = 3 in the steps about laws (V = 2 for beta).

Machine-checked: by z3 for all laws, that beta is nonincreasing and rho beta nondecreasing in rho
(V = 2); by z3 for k = 2..5 that then the excess is nonincreasing and has those signs at the ends;
that the optimum is at most ``k beta(k) = sum min(p, k q)`` (V = 3, k = 2, 3, on `optimal_value`);
and that ``1 - (1 - y/k)^k >= y (1 - (1 - 1/k)^k)`` for y in [0, 1]. On the library's own code: that
the rule's closed form at rho = k reaches the share, for all laws with V = 3, k = 2.

Argued: that the steps hold for all V, as sums over tokens of what is checked, and for all k (the
last by concavity in y); that ``(1 - 1/k)^k <= 1/e``, from ``log(1 - x) <= -x``; and the chain
``1 - (1 - beta(rho*))^k >= 1 - (1 - beta(k))^k >= share * k beta(k) >= share * optimum``.

Reference: sun2023spectr, Theorem 3, for the share 1 - 1/e.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import z3

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import by_ratio, for_all_laws, optimum
from spectheory.transport.theory import ratio_bound
from spectheory.verification.k_seq import KSeq

COUNTS = (2, 3, 4, 5)


def excess_falls(k: int) -> None:
    """If beta falls and rho beta grows, the excess falls; its signs at rho = 1 and rho = k."""
    here, there, low, high = z3.Reals("here there low high")  # beta at rho = low <= high
    falling = [there >= 0, there <= here, here <= 1, low >= 1, low <= high, high <= k]
    growing = low * here <= high * there
    at = [1 - _power(1 - b, k) - rho * b for b, rho in ((here, low), (there, high))]
    _never([*falling, growing, at[0] < at[1]], f"the excess grows somewhere, k = {k}")
    unit = [here >= 0, here <= 1]
    _never([*unit, 1 - _power(1 - here, k) < here], f"no root above 1, k = {k}")
    _never([*unit, 1 - _power(1 - here, k) > k * here], f"rho = k is not admissible, k = {k}")


def chord(k: int) -> None:
    """``1 - (1 - y/k)^k`` lies above its chord on [0, 1]."""
    y = z3.Real("y")
    share = 1 - _power(z3.Q(k - 1, k), k)
    _never([y >= 0, y <= 1, 1 - _power(1 - y / k, k) < share * y], f"below the chord, k = {k}")


def beta_falls(p: np.ndarray, q: np.ndarray, low: Quantity, high: Quantity) -> None:
    """Beta is nonincreasing and rho beta nondecreasing."""
    here, there = (sum(np.minimum(p / rho, q)) for rho in (low, high))
    assert there <= here, "beta grows with rho"
    assert low * here <= high * there, "rho beta falls with rho"


def optimum_is_below(k: int, p: np.ndarray, q: np.ndarray) -> None:
    """``alpha* <= sum min(p, k q)``."""
    assert optimum(p, q, k, "iid") <= sum(np.minimum(p, k * q)), (
        "the optimum is above sum min(p, kq)"
    )


def share_is_reached(kind: type[KSeq], p: np.ndarray, q: np.ndarray) -> None:
    """At rho = k = 2, already, the rule accepts 3/4 of the optimum."""
    accepted = kind(rho=2)._rates(p[None], q[None], 2, "iid").ladder[0]
    assert 4 * accepted >= 3 * optimum(p, q, 2, "iid"), "accepts less than 3/4 of the optimum"


def verify(kind: type[KSeq] = KSeq) -> Checked:
    """Check the statement for K-SEQ, or for a class that claims to be it."""
    for k in COUNTS:
        excess_falls(k)
        chord(k)
        assert abs(ratio_bound(k) - (1 - (1 - 1 / k) ** k)) < 1e-15, (
            "the library's bound is another"
        )
    regions = for_all_laws(
        2,
        beta_falls,
        extra=("low", "high"),
        within=lambda p, q, low, high: [low - 1, high - low],
        continuous=True,
    )
    for k in (2, 3):
        regions += for_all_laws(3, partial(optimum_is_below, k), within=by_ratio, continuous=True)
    regions += for_all_laws(3, partial(share_is_reached, kind), within=by_ratio, continuous=True)
    return Checked(
        f"root and share for k = {COUNTS[0]}..{COUNTS[-1]}; steps about laws: all p, q, V = 3 or 2",
        f"z3 on scalars; {regions} regions run, z3: no other",
    )


def _power(base: z3.ArithRef, k: int) -> z3.ArithRef:
    return base if k == 1 else base * _power(base, k - 1)


def _never(conditions: list, message: str) -> None:
    solver = z3.SolverFor("QF_NRA")
    solver.add(*conditions)
    assert solver.check() == z3.unsat, message
