"""A residual over groups keeps the law of the group exactly; what the token's law loses is known.

Statement: accept a draft by the masses of its group in a partition, ``min(1, P(G) / Q(G))``.
(a) With a group residual ``G ~ (P - Q)_+``, x ~ p( . | G), the group of the output has law P, and
``TV(out, p) = sum_G min(P, Q)(G) TV(q( . | G), p( . | G))``. (b) If the token is redrawn from
p( . | G) on acceptance, the output law is p. (c) With the token residual ``(p - q)_+`` the bias is
``sum_x (acc - p)_+``, which no residual can go below and which is no more than that of (a).
(d) On a partition the acceptance is at least 1 - TV(p, q); on overlapping windows it need not be.

Assumptions: V = 3 with groups {0, 1}, {2}; all p, q, zeros and ties included.

Machine-checked: (a) to (d) for all p and q on the library's `GroupedKeep`, `GroupedRedraw` and
`Grouped`, region by region, the law being that of the rule's own verdicts; for windows, an exact
counterexample with V = 5 on `GroupedWindow`.

Argued: nothing within this size.

Reference: so2025grouped for the acceptance test; the residuals and formulas are derived here.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import for_all_laws
from spectheory.distributions import overlap, total_variation
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.grouped_redraw import GroupedRedraw
from spectheory.verification.grouped_window import GroupedWindow
from spectheory.verification.rule import VerificationRule

TOKENS = np.arange(3)[:, None]


def law_of(rule: VerificationRule, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Output law of the rule's verdicts over a draft from q."""
    return np.sum(rule._verdict(p[None], q[None], TOKENS).law() * q[:, None], axis=0)


def within_groups(p: np.ndarray, q: np.ndarray) -> Quantity:
    """``sum_G min(P, Q)(G) TV(q( . | G), p( . | G))``; only {0, 1} has more than one token."""
    p_group, q_group = p[0] + p[1], q[0] + q[1]
    if not (p_group > 0 and q_group > 0):
        return p_group * 0
    gap = q[0] / q_group - p[0] / p_group
    return min(p_group, q_group) * (gap if gap > 0 else -gap)


def verify(
    keep: VerificationRule | None = None,
    redraw: VerificationRule | None = None,
    published: VerificationRule | None = None,
) -> Checked:
    """Check the statement for the library's rules, or for others that claim to be them."""
    keep, redraw, published = (
        keep or GroupedKeep(),
        redraw or GroupedRedraw(),
        published or Grouped(),
    )

    def statement(p: np.ndarray, q: np.ndarray) -> None:
        kept = law_of(keep, p, q)
        assert kept[0] + kept[1] == p[0] + p[1], "the group's law is not the target's"
        bias = within_groups(p, q)
        assert total_variation(kept, p) == bias, "the bias of the group residual is another"
        redrawn = law_of(redraw, p, q)
        assert all(redrawn[x] == p[x] for x in range(3)), "redrawing in the group is not lossless"
        accept = published._verdict(p[None], q[None], TOKENS).accept[:, 0]
        least = sum(max(q[x] * accept[x] - p[x], p[x] * 0) for x in range(3))
        found = total_variation(law_of(published, p, q), p)
        assert found == least, "the bias of the token residual is not the least"
        assert least <= bias, "the token residual is worse than the group residual"
        assert sum(q * accept) >= overlap(p, q), "grouping lowers the acceptance"

    regions = for_all_laws(3, statement)
    p, q = (
        np.array([Fraction(n, 100) for n in row], dtype=object)
        for row in ((20, 10, 25, 15, 30), (20, 5, 30, 15, 30))
    )
    window = GroupedWindow()._rates(p[None], q[None], 1, "iid").ladder[0]
    assert window < overlap(p, q), f"the window accepts {window}, no less than rejection"
    return Checked(
        "V = 3, groups {0, 1}, {2}: all p, q; the window's counterexample",
        f"{regions} regions run, z3: no other; exact laws of 5 tokens",
    )
