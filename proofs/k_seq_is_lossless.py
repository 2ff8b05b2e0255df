"""K-SEQ outputs the target's law for every slow-down rho that it admits.

Statement: for rho in [1, k] with ``1 - (1 - beta)^k <= rho beta``, ``beta = sum min(p / rho, q)``,
the output law of `KSeq(rho)` over k i.i.d. drafts is p.

Assumptions: V = 3, k = 2, and V = 2, k = 3; all p, q and rho, zeros and ties included.

Machine-checked: the identity of rational functions in p, q and rho on each region, on the library's
own verdict; z3 proves that the regions are all there are.

Argued: that tokens may be named by ascending p / q, as the rule treats all alike.

Reference: sun2023spectr, Theorem 2.
"""

from __future__ import annotations

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import by_ratio, drafts_of, for_all_laws
from spectheory.drafting.scheme import scheme
from spectheory.verification.k_seq import KSeq


def excess(p: np.ndarray, q: np.ndarray, rho: Quantity, k: int) -> Quantity:
    """``1 - (1 - beta)^k - rho beta``, positive where rho is too small."""
    beta = sum(np.minimum(p / rho, q))
    return 1 - (1 - beta) ** k - rho * beta


def prove(kind: type[KSeq], size: int, k: int) -> int:
    """Prove one size; how many regions p, q and rho fall into."""

    def statement(p: np.ndarray, q: np.ndarray, rho: Quantity) -> None:
        if excess(p, q, rho, k) > 0:
            return  # refused by the rule
        tuples, chance = drafts_of(scheme("iid"), q, k)
        law = np.sum(kind(rho)._verdict(p[None], q[None], tuples).law() * chance[:, None], axis=0)
        for token in range(size):
            assert law[token] == p[token], f"output law differs from the target at token {token}"

    def within(p: np.ndarray, q: np.ndarray, rho: Quantity) -> list[Quantity]:
        return [rho - 1, k - rho, *by_ratio(p, q)]

    return for_all_laws(size, statement, extra=("rho",), within=within)


def verify(kind: type[KSeq] = KSeq) -> Checked:
    """Check the statement for K-SEQ, or for a class that claims to be it."""
    regions = prove(kind, 3, 2) + prove(kind, 2, 3)
    return Checked(
        "all p, q, rho for (V, k) = (3, 2), (2, 3)", f"{regions} regions run, z3: no other"
    )
