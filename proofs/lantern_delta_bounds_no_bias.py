"""LANTERN's delta does not bound the bias: delta = 1 / N, every draft accepted, TV = 1/2.

Statement: for every even N there are laws over N tokens and one neighbour each such that, with
delta = 1 / N, every draft is accepted, so the output law is q, at total variation 1/2 from p:
p uniform, q uniform on the even tokens, the neighbour of an even token the odd one beside it.

Assumptions: none; it is a counterexample, for one family of laws.

Machine-checked: on the library's `Lantern` in exact arithmetic for N = 2, 4, .., 64 and N = 100,
by its verdicts. Since 1 / N has no exact float, delta is given as the Fraction.

Argued: that the pattern holds for every even N: each even token borrows just 1 / N, so that its
ratio is ``(1/N + 1/N) / (2/N) = 1``.

Reference: jang2025lantern for the rule; the counterexample is derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from proofs import Checked
from spectheory.distributions import total_variation
from spectheory.verification.lantern import Lantern
from spectheory.verification.rule import VerificationRule
from spectheory.verification.token_groups import Neighbourhoods

SIZES = (*range(2, 65, 2), 100)


def lantern(size: int) -> VerificationRule:
    """The rule with delta = 1 / N and one neighbour."""
    return Lantern(delta=Fraction(1, size), neighbours=Neighbourhoods(1))  # type: ignore[arg-type]


def verify(make_rule: Callable[[int], VerificationRule] = lantern) -> Checked:
    """Check the statement for LANTERN, or for a rule that claims to be it."""
    for size in SIZES:
        rule = make_rule(size)
        even = np.arange(size) % 2 == 0
        p = np.array([Fraction(1, size)] * size, dtype=object)
        q = np.where(even, p * 2, p * 0)
        tokens = np.flatnonzero(even)[:, None]
        verdict = rule._verdict(p[None], q[None], tokens)
        law = np.sum(verdict.law() * q[even][:, None], axis=0)
        assert all(verdict.accept[:, 0] == 1), f"N = {size}: a draft is refused"
        bias = total_variation(law, p)
        assert bias == Fraction(1, 2), f"N = {size}: the bias is {bias}"
    return Checked(f"{len(SIZES)} sizes up to N = {SIZES[-1]}", "exact output laws")
