"""A step of gamma drafts, each accepted with chance a, emits (1 - a^(gamma+1)) / (1 - a) tokens.

Statement: with conditional acceptances a_1, .., a_gamma a step emits ``1 + sum_j prod_{i<=j} a_i``
tokens in expectation; with equal ones ``(1 - a^(gamma+1)) / (1 - a)``, at most gamma + 1.

Assumptions: gamma up to 6; laws p and q of V = 2 tokens that do not depend on the context, so that
a = 1 - TV(p, q).

Machine-checked: by running the decoding step on the library's `Rejection` for all p and q, region
by region: the law of the number of accepted drafts is enumerated from its verdicts, and its mean is
the formula (gamma = 3); sympy, for the sum of the geometric series, gamma = 1..6; and the library's
`expected_tokens` on an exact grid of acceptances, to 1e-12.

Argued: nothing within these sizes.

Reference: leviathan2023fast, equation 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import numpy as np
import sympy

from proofs import Checked
from proofs._laws import for_all_laws
from spectheory.cost.speedup import expected_tokens
from spectheory.distributions import overlap
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule

LENGTH = 3


def step(rule: VerificationRule, p: np.ndarray, q: np.ndarray) -> None:
    """Expected tokens of a step, enumerated over drafts and accept decisions."""
    accept = rule._verdict(p[None], q[None], np.arange(2)[:, None]).accept[:, 0]
    mean = p[0] * 0
    for drafts in itertools.product(range(2), repeat=LENGTH):
        chance = reach = p[0] * 0 + 1
        for token in drafts:
            chance = chance * q[token]
        tokens = reach
        for token in drafts:
            reach = reach * accept[token]
            tokens = tokens + reach
        mean = mean + chance * tokens
    a = overlap(p, q)
    assert mean == sum(a**i for i in range(LENGTH + 1)), "the mean number of tokens is another"


def verify(
    rule: VerificationRule | None = None,
    tokens: Callable[[Sequence[float]], float] = expected_tokens,
) -> Checked:
    """Check the statement for rejection and the library's formula, or for others."""
    a = sympy.symbols("a")
    for length in range(1, 7):
        series = sum(a**i for i in range(length + 1))
        closed = (1 - a ** (length + 1)) / (1 - a)
        assert sympy.cancel(closed - series) == 0, f"the series does not sum, gamma = {length}"
    grid = [Fraction(n, 4) for n in range(5)]
    for rates in itertools.product(grid, repeat=LENGTH):
        exact = 1 + rates[0] + rates[0] * rates[1] + rates[0] * rates[1] * rates[2]
        found = tokens([float(rate) for rate in rates])
        assert abs(found - float(exact)) < 1e-12, f"expected tokens at {rates}: {found}"
    regions = for_all_laws(2, partial(step, rule or Rejection()))
    return Checked(
        f"V = 2, gamma = {LENGTH}: all p, q; series up to gamma = 6",
        f"{regions} regions run, z3: no other; sympy; {len(grid) ** LENGTH} exact points",
    )
