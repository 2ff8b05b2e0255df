"""Rejection outputs the target's law, and accepts with probability 1 - TV, for all p and q.

Statement: for laws p and q over V = 2 or 3 tokens, the output law of `Rejection`, averaged over a
draft from q, is p; its acceptance is sum min(p, q).

Assumptions: q(x) > 0 and p(x) > 0 for every token, p != q. (Zeros and p = q are limits; the
conformance suite checks them exactly.)

Machine-checked: the identity of rational functions in symbolic p and q, on the library's own
verdict, for every sign pattern of p - q up to renaming tokens. Writing the larger of p(x), q(x) as
the smaller plus a positive gap makes every comparison decidable. Argued: that a sign pattern and
its renaming are the same statement, as the rule treats all tokens alike.
"""

from __future__ import annotations

import numpy as np
import sympy

from proofs import Checked
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule


def sign_patterns() -> list[tuple[np.ndarray, np.ndarray]]:
    """Symbolic laws, up to one common factor: p > q on some tokens, p < q on others, a tie."""
    a, b, c, d, e = sympy.symbols("a b c d e", positive=True)
    return [
        (_row(a, b + d), _row(a + d, b)),
        (_row(a, b + d, c + e), _row(a + d + e, b, c)),
        (_row(a + d + e, b, c), _row(a, b + d, c + e)),
        (_row(a + d, b, c), _row(a, b + d, c)),
    ]


def verify(rule: VerificationRule | None = None) -> Checked:
    """Check the statement for a rule with one draft; the library's rejection rule by default."""
    rule = rule or Rejection()
    for target, draft in sign_patterns():
        size, mass = target.size, sum(target)
        tuples = np.arange(size)[:, None]
        verdict = rule._verdict(target[None, :], draft[None, :], tuples)
        law = (verdict.law() * draft[:, None]).sum(axis=0)
        for token in range(size):
            gap = sympy.simplify(law[token] - target[token])
            assert gap == 0, f"output law differs from the target at token {token} by {gap}"
        accepted = sum(draft[x] * verdict.accept[x, 0] for x in range(size))
        overlap = sum(sympy.Min(p, q) for p, q in zip(target, draft, strict=True))
        assert sympy.simplify(accepted - overlap) == 0, f"accepts {accepted / mass}"
    return Checked("V = 2, 3: every sign pattern of p - q", "symbolic identity (sympy)")


def _row(*entries: sympy.Expr) -> np.ndarray:
    return np.array(entries, dtype=object)
