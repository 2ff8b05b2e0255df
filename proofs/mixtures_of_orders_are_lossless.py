"""A mixture of priority orders is lossless whatever its weights, under every draft scheme.

Statement: draw an order from any law over the orders of the vocabulary, pick the highest-ranked
draft, accept it with ``min(1, p / b)`` where b is the law of the picked draft, else draw from
``(p - b)_+``: the output law is p.

Assumptions: V = 2 with all orders, k = 2 and 3, for i.i.d. and heterogeneous drafts; V = 3 with two
orders weighted 1/3 and 2/3, k = 2 and 3, for drafts of one law (k = 3 distinct drafts only). All p
and q (and weights for V = 2), zeros included.

Machine-checked: the identity of rational functions in p, q and the weights on each region, on the
library's `PriorityMixture` verdict and `base_of_order`; z3 proves that the regions are all. The
choice of the orders, which is iterative, is not symbolic: on a grid of Fractions the output law of
`OptimalMixture` with the orders that it chooses is p exactly (checked, not proved).

Argued: nothing within these sizes.

Reference: khisti2025multi, Theorem 1 (canonical form); edmonds1970submodular (orders as vertices).
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import drafts_of, for_all_laws, simplex
from spectheory.drafting.scheme import scheme
from spectheory.transport.order_base import base_of_order
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.verification.optimal_mixture import OptimalMixture

TWO, THREE = [[0, 1], [1, 0]], [[0, 1, 2], [2, 0, 1]]
"""Ranks of the orders that are mixed: all of two tokens, and two of three tokens."""
CASES = (
    ("iid", 2, TWO),
    ("iid", 3, TWO),
    ("heterogeneous", 2, TWO),
    ("heterogeneous", 3, TWO),
    ("iid", 2, THREE),
    ("without_replacement", 2, THREE),
    ("without_replacement", 3, THREE),
    ("distinct", 2, THREE),
)
GRID = 5
CHOSEN = (
    ("heterogeneous", 2, 3),
    ("heterogeneous", 3, 2),
    ("without_replacement", 2, 3),
    ("distinct", 2, 3),
)
"""Scheme, k and V of the mixtures whose orders are chosen, on laws of multiples of 1 / `GRID`."""


THIRDS = np.array([Fraction(1, 3), Fraction(2, 3)], dtype=object)


def prove(kind: type[PriorityMixture], key: str, k: int, ranks: np.ndarray) -> int:
    """Two orders, weighted in any way if V = 2; how many regions."""
    size, per_slot = ranks.shape[1], k if scheme(key).per_slot else 1
    free = size == 2

    def statement(p: np.ndarray, *rest: object) -> None:
        laws = rest[:per_slot]
        weights = simplex(rest[per_slot:]) if free else THIRDS  # type: ignore[arg-type]
        q = np.stack(laws) if per_slot > 1 else laws[0]  # type: ignore[call-overload]
        if scheme(key).distinct and sum(mass > 0 for mass in q) < k:
            return  # refused by the scheme: too few tokens to draw from
        base_of = base_of_order(scheme(key), q, k)
        base = sum(w * base_of(np.argsort(row)) for w, row in zip(weights, ranks, strict=True))
        nothing = np.zeros(size, dtype=bool)
        mixture = kind(p, q, k, key, ranks, weights, base, p[0] * 0 + 1, nothing)
        tuples, chance = drafts_of(scheme(key), q, k)
        law = np.sum(mixture.verdict(tuples).law() * chance[:, None], axis=0)
        for token in range(size):
            assert law[token] == p[token], f"{key}: output law differs at token {token}"

    def a_weight(*arguments: object) -> list[Quantity]:
        return [arguments[-1], 1 - arguments[-1]]  # type: ignore[list-item, operator]

    if not free:
        return for_all_laws(size, statement, 1 + per_slot)
    return for_all_laws(size, statement, 1 + per_slot, extra=("w",), within=a_weight)


def chosen_orders_on_a_grid(kind: type[PriorityMixture], key: str, k: int, size: int) -> int:
    """The output law with the orders of `OptimalMixture`, on Fractions; how many pairs."""
    counts = [row for row in itertools.product(range(1, GRID), repeat=size) if sum(row) == GRID]
    laws = [np.array([Fraction(n, GRID) for n in row], dtype=object) for row in counts]
    effort = OptimalMixture(key).bounded()
    for p, q in itertools.product(laws, repeat=2):
        draft = np.stack([q, p, q][:k]) if scheme(key).per_slot else q
        mixture = kind.solve(p, draft, k, key, effort.gap, effort.most_rounds)
        tuples, chance = scheme(key).law(draft, k)
        law = np.sum(mixture.verdict(tuples).law() * chance[:, None], axis=0)
        assert all(law == p), f"{key}, k = {k}: output law {law} for {p}, drafts from {draft}"
    return len(laws) ** 2


def verify(kind: type[PriorityMixture] = PriorityMixture) -> Checked:
    """Check the statement for the library's mixture, or for a class that claims to be it."""
    pairs = sum(chosen_orders_on_a_grid(kind, *case) for case in CHOSEN)
    regions = sum(prove(kind, key, k, np.array(ranks)) for key, k, ranks in CASES)
    return Checked(
        f"{len(CASES)} cases of scheme, k <= 3 and orders: all p, q, weights; chosen orders on "
        f"{pairs} pairs of a grid",
        f"{regions} regions run, z3: no other; Fractions",
    )
