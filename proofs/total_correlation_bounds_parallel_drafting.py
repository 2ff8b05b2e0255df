"""Drafting a block in parallel from its marginals: acceptance >= 1 - sqrt(TC / 2).

Statement: let P be the joint law of a block and Q the product of its marginals. The best acceptance
of a whole block drafted from Q is ``1 - TV(P, Q)``, that of rejection on blocks, and it is at least
``1 - sqrt(TC / 2)`` with the total correlation ``TC = KL(P || Q)``.

Assumptions: any finite block law. The runs: blocks of two binary tokens (all laws) and of up to
four tokens (grid and random laws).

Machine-checked: that rejection on blocks accepts ``1 - TV(P, Q)`` and outputs P, for all joint laws
of two binary tokens, on the library's `Rejection`, region by region. Pinsker's inequality for two
outcomes: the derivative of ``KL - 2 (p - q)^2`` in q is ``(q - p) (1 / (q (1 - q)) - 4)`` (sympy),
whose second factor is at least 0 (z3). That TV is attained on the set {P > Q}, for all laws with
V = 3. The inequality itself, in interval arithmetic, on 200 rational joint laws.

Argued: that KL does not grow when outcomes are merged into {P > Q} and its complement (log-sum
inequality), so that the case of two outcomes implies the general one.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import sympy
import z3

from proofs import Checked
from proofs._laws import for_all_laws
from spectheory.distributions import overlap, total_variation
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule

LAWS = 200


def product_of_marginals(joint: np.ndarray, length: int) -> np.ndarray:
    """``(2^L,)``: the product law of a ``(2^L,)`` joint law of L binary tokens."""
    cube = joint.reshape((2,) * length)
    axes = range(length)
    marginals = [np.sum(cube, axis=tuple(a for a in axes if a != kept)) for kept in axes]
    blocks = itertools.product(range(2), repeat=length)
    chances = [[marginals[i][token] for i, token in enumerate(block)] for block in blocks]
    law = np.empty(2**length, dtype=object)
    law[:] = [_product(row) for row in chances]
    return law


def pinsker_for_two_outcomes() -> None:
    """``KL >= 2 (p - q)^2``, by the sign of the derivative in q."""
    p, q = sympy.symbols("p q", positive=True)
    kl = p * sympy.log(p / q) + (1 - p) * sympy.log((1 - p) / (1 - q))
    slope = sympy.diff(kl - 2 * (p - q) ** 2, q)
    claimed = (q - p) * (1 / (q * (1 - q)) - 4)
    assert sympy.simplify(slope - claimed) == 0, "the derivative is another"
    x = z3.Real("x")
    solver = z3.SolverFor("QF_NRA")
    solver.add(x > 0, x < 1, 4 * x * (1 - x) > 1)
    assert solver.check() == z3.unsat, "1 / (q (1 - q)) falls below 4"


def in_intervals(seed: int = 0) -> None:
    """``1 - TV >= 1 - sqrt(TC / 2)`` with outward rounding."""
    from mpmath import iv

    rng = np.random.default_rng(seed)
    for number in range(LAWS):
        length = 2 + number % 3
        weights = rng.integers(1, 50, 2**length)
        joint = np.array([Fraction(int(w), int(weights.sum())) for w in weights], dtype=object)
        product = product_of_marginals(joint, length)
        correlation = sum(
            (_interval(a) * iv.log(_interval(a / b)) for a, b in zip(joint, product, strict=True)),
            iv.mpf(0),
        )
        distance = _interval(total_variation(joint, product))
        assert (2 * distance**2).b <= correlation.a, f"the bound fails for {joint}"


def verify(rule: VerificationRule | None = None) -> Checked:
    """Check the statement for rejection on blocks, or for a rule that claims to be it."""
    rule = rule or Rejection()

    def blocks(joint: np.ndarray) -> None:
        product = product_of_marginals(joint, 2)
        verdict = rule._verdict(joint[None], product[None], np.arange(4)[:, None])
        law = np.sum(verdict.law() * product[:, None], axis=0)
        assert all(law[x] == joint[x] for x in range(4)), "output law differs from the joint law"
        accepted = sum(product * verdict.accept[:, 0])
        assert accepted == overlap(joint, product), "the acceptance is not 1 - TV"

    def attained(p: np.ndarray, q: np.ndarray) -> None:
        above = [x for x in range(3) if p[x] > q[x]]
        assert total_variation(p, q) == sum((p[x] - q[x] for x in above), p[0] * 0)

    regions = for_all_laws(4, blocks, 1) + for_all_laws(3, attained)
    pinsker_for_two_outcomes()
    in_intervals()
    return Checked(
        f"blocks of two binary tokens: all laws; bound for two outcomes; {LAWS} laws of 2 to 4",
        f"{regions} regions run, z3: no other; sympy; interval arithmetic",
    )


def _product(values: list) -> object:
    result = values[0]
    for value in values[1:]:
        result = result * value
    return result


def _interval(value: Fraction) -> object:
    from mpmath import iv

    return iv.mpf(value.numerator) / value.denominator
