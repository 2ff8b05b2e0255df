"""One draft more never lowers the optimum.

Statement: the optimal acceptance is nondecreasing in k for i.i.d. drafts, drafts without
replacement, distinct and greedy drafts.

Assumptions: V = 3; k = 1, 2, 3 (1, 2 for distinct drafts of three tokens).

Machine-checked: for all p and q, on the library's `optimal_value`, region by region; and, for every
subset H, that the probability Q(H) that all drafts lie in H does not grow with k, enumerated from
the scheme's tuples.

Argued: that the second implies the first for every V, since the optimum is
``1 + min_H [p(H) - Q(H)]``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from proofs import Checked
from proofs._laws import (
    all_drafts_within,
    by_draft,
    by_ratio,
    drafts_of,
    for_all_laws,
    optimum,
    subsets,
)
from spectheory.drafting.scheme import scheme

CASES = (("iid", 1), ("iid", 2), ("without_replacement", 1), ("distinct", 1), ("greedy", 1))


def more_is_better(
    value: Callable[..., object], key: str, k: int, p: np.ndarray, q: np.ndarray
) -> None:
    """The value at k + 1 is at least that at k, and Q falls."""
    if scheme(key).distinct and sum(mass > 0 for mass in q) < k + 1:
        return  # refused by the scheme: too few tokens to draw from
    assert value(p, q, k, key) <= value(p, q, k + 1, key), f"{key}: falls from k = {k} to {k + 1}"
    fewer, more = (drafts_of(scheme(key), q, n) for n in (k, k + 1))
    for subset in subsets(3):
        inside = [all_drafts_within(*drafts, subset) for drafts in (fewer, more)]
        assert inside[1] <= inside[0], f"{key}: Q grows from k = {k} to {k + 1}"


def verify(value: Callable[..., object] = optimum) -> Checked:
    """Check the statement for `optimal_value`, or for a function that claims to be it."""
    regions = 0
    for key, k in CASES:
        within = by_draft if key == "greedy" else by_ratio
        regions += for_all_laws(
            3, partial(more_is_better, value, key, k), within=within, continuous=True
        )
    return Checked(
        f"{len(CASES)} steps from k to k + 1, V = 3: all p, q",
        f"{regions} regions run, z3: no other",
    )
