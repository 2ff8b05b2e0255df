"""Grouped speculative decoding with dynamic groups, as deployed. Lossy by design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array
from spectheory.verification.grouped import Grouped
from spectheory.verification.token_groups import NEXT_RANKS, TokenGroups


@dataclass(frozen=True)
class GroupedWindow(Grouped):
    """The grouped test with the few tokens around x in one law's order as its group.

    Windows overlap, so the theorem that grouping accepts at least ``1 - TV(p, q)`` does not hold:
    below, a window of one rank either side accepts less. The output law is still
    ``acc + (1 - a) (p - q)_+ / TV(p, q)`` with ``acc(x) = q(x) min(1, P(W(x)) / Q(W(x)))``.

    Args:
        groups: the window.
        by_draft: ranks are those of the draft's law, not the target's, and so is a filter by gap.

    Reference: so2025grouped, dynamic clustering; counterexample ours.

    >>> import numpy as np
    >>> p = np.array([0.20, 0.10, 0.25, 0.15, 0.30])
    >>> q = np.array([0.20, 0.05, 0.30, 0.15, 0.30])
    >>> round(float(GroupedWindow().rates(p, q, 1).ladder), 6)  # 1 - TV(p, q) is 0.95
    0.940865
    >>> round(float(GroupedWindow(by_draft=True).rates(p, q, 1).ladder), 6)
    0.95625
    """

    key: ClassVar[str] = "grouped_window"
    groups: TokenGroups = NEXT_RANKS
    by_draft: bool = False

    def masses(self, target: Array, draft: Array) -> tuple[Array, Array]:
        ranked = draft if self.by_draft else target
        return self.groups.around(ranked, target), self.groups.around(ranked, draft)
