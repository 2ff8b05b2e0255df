"""A mixture of priority orders is lossless whatever its weights, under every draft scheme.

Statement: draw an order from any law over the orders of the vocabulary, pick the highest-ranked
draft, accept it with ``min(1, p / b)`` where b is the law of the picked draft, else draw from
``(p - b)_+``: the output law is p.

Assumptions: V = 2 with all orders and k = 2, for i.i.d. and heterogeneous drafts; V = 3 with two
orders weighted 1/3 and 2/3 for drafts without replacement; all p, q (and weights for V = 2), zeros
included.

Machine-checked: the identity of rational functions in p, q and the weights on each region, on the
library's `PriorityMixture` verdict and `base_of_order`; z3 proves that the regions are all.

Argued: nothing within these sizes.

Reference: khisti2025multi, Theorem 1 (canonical form); edmonds1970submodular (orders as vertices).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import drafts_of, for_all_laws, simplex
from spectheory.drafting.scheme import scheme
from spectheory.transport.order_base import base_of_order
from spectheory.transport.priority_mixture import PriorityMixture

CASES = (
    ("iid", [[0, 1], [1, 0]]),
    ("heterogeneous", [[0, 1], [1, 0]]),
    ("without_replacement", [[0, 1, 2], [2, 0, 1]]),
)


THIRDS = np.array([Fraction(1, 3), Fraction(2, 3)], dtype=object)


def prove(kind: type[PriorityMixture], key: str, ranks: np.ndarray) -> int:
    """Two orders, k = 2, weighted in any way if V = 2; how many regions."""
    size, per_slot = ranks.shape[1], 2 if scheme(key).per_slot else 1
    free = size == 2

    def statement(p: np.ndarray, *rest: object) -> None:
        laws = rest[:per_slot]
        weights = simplex(rest[per_slot:]) if free else THIRDS  # type: ignore[arg-type]
        q = np.stack(laws) if per_slot > 1 else laws[0]  # type: ignore[call-overload]
        if scheme(key).distinct and sum(mass > 0 for mass in q) < 2:
            return  # refused by the scheme: too few tokens to draw from
        base_of = base_of_order(scheme(key), q, 2)
        base = sum(w * base_of(np.argsort(row)) for w, row in zip(weights, ranks, strict=True))
        nothing = np.zeros(size, dtype=bool)
        mixture = kind(p, ranks, weights, base, p[0] * 0 + 1, nothing)
        tuples, chance = drafts_of(scheme(key), q, 2)
        law = np.sum(mixture.verdict(tuples).law() * chance[:, None], axis=0)
        for token in range(size):
            assert law[token] == p[token], f"{key}: output law differs at token {token}"

    def a_weight(*arguments: object) -> list[Quantity]:
        return [arguments[-1], 1 - arguments[-1]]  # type: ignore[list-item, operator]

    if not free:
        return for_all_laws(size, statement, 1 + per_slot)
    return for_all_laws(size, statement, 1 + per_slot, extra=("w",), within=a_weight)


def verify(kind: type[PriorityMixture] = PriorityMixture) -> Checked:
    """Check the statement for the library's mixture, or for a class that claims to be it."""
    regions = sum(prove(kind, key, np.array(ranks)) for key, ranks in CASES)
    return Checked(
        f"{len(CASES)} cases of scheme and orders, k = 2: all p, q, weights",
        f"{regions} regions run, z3: no other",
    )
