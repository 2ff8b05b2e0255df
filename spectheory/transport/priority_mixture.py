"""A lossless rule for any draft law with known priority orders: a mixture of orders, one rejection.

Draw an order from the mixture, pick the highest-ranked draft, accept it with probability
``min(1, p / b)``, else draw from ``(p - b)_+``. The law b of the picked draft is the mixture of the
orders' known laws, so the rule is lossless whatever the orders and weights are; only the acceptance
depends on how good they are. Every optimal rule is of this form.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from spectheory.arrays import Array, capped_ratio, is_exact
from spectheory.distributions import check_pmf, check_same_vocabulary, residual
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.errors import DistributionError, InputError, ShapeError
from spectheory.transport.acceptance import TOLERANCE, Acceptance
from spectheory.transport.optimal_base import optimal_base
from spectheory.transport.order_base import base_of_order
from spectheory.transport.simplex_fit import combination, fit_weights
from spectheory.transport.subset_dual import best_prefix
from spectheory.transport.subset_search import search_subsets
from spectheory.verdict import Draw, Verdict

DENOMINATOR = 1 << 50
"""Weights of an exact mixture are multiples of about one over this: float64 to its last digits."""
SCALES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Powers of a token's aim that its shortfall is divided by: 1 favours light tokens, 0 heavy."""


@dataclass(frozen=True)
class PriorityMixture:
    """Priority orders with weights, and the exact law of the draft that they pick.

    Attributes:
        target: ``(V,)``.
        draft: ``(V,)``, or ``(k, V)`` for heterogeneous drafts.
        k: number of drafts.
        scheme: key of the draft scheme.
        ranks: ``(n, V)`` rank of each token in each order; the highest wins.
        weights: ``(n,)`` probability of each order.
        base: ``(V,)`` law b of the picked draft.
        bound: upper bound on the acceptance of any rule.
        witness: ``(V,)`` mask of the subset that gives the bound.

    Reference: edmonds1970submodular (vertices); frank1956algorithm, in its fully corrective form.

    >>> q = np.array([0.5, 0.25, 0.25])
    >>> mixture = PriorityMixture.solve(np.array([0.25, 0.25, 0.5]), q, 2, "without_replacement")
    >>> round(float(mixture.value), 9), bool(mixture.gap <= 1e-9)
    (1.0, True)
    """

    target: Array
    draft: Array
    k: int
    scheme: str
    ranks: np.ndarray
    weights: Array
    base: Array
    bound: Array
    witness: np.ndarray

    @classmethod
    def solve(
        cls,
        target: Array,
        draft: Array,
        k: int,
        scheme: str = "without_replacement",
        gap: float = 1e-9,
        most_rounds: int = 128,
        seconds: float = float("inf"),
    ) -> PriorityMixture:
        """Mix orders until the gap is small enough, or the budget is spent.

        With b* the minimal-divergence base and ``m = min(b*, p)`` the mass to accept, minimises
        ``sum_x m (1 - b/m)_+^2 / 2`` over the bases b, which is 0 at an optimum. Each round ranks
        the tokens by how far b falls short of m, adds the bases of these orders, and fits all
        weights again (`fit_weights`). The steepest order ranks by the shortfall relative to m; it
        alone converges slowly where a few heavy tokens stand among thousands of light ones that
        are all short, so orders by ``(m - b) / m^s`` for the other `SCALES` s come along. Every
        optimal order puts the hull faces of slope below 1 in their order of priority, so ranking
        happens within a face only. Heterogeneous drafts have no known b*: there m = p, and the two
        faces are the witness and its complement. The best mixture of all rounds is kept.

        Args:
            target: ``(V,)``, one position.
            draft: ``(V,)``, or ``(k, V)`` for heterogeneous drafts.
            k: number of drafts.
            scheme: key of the draft scheme.
            gap: stop when the acceptance is this close to its upper bound.
            most_rounds: rounds at most, each of which adds an order for each of the `SCALES`.
            seconds: time budget, looked at once a round.

        Raises:
            ShapeError: more than one position; InputError: a budget that is not positive.
        """
        target, draft = np.asarray(target), np.asarray(draft)
        law = draft_scheme(scheme)
        check_same_vocabulary(target, draft)
        check_pmf("target", target)
        law.check(draft, k)
        if target.ndim != 1 or draft.ndim != 1 + law.per_slot:
            raise ShapeError(
                f"`target` has shape {target.shape} and `draft` {draft.shape}; a mixture serves "
                "one position, (V,) and (V,), or (k, V) for one draft law a slot"
            )
        if most_rounds < 1 or not seconds > 0 or not gap >= 0:
            raise InputError(
                f"`most_rounds` is {most_rounds}, `seconds` {seconds} and `gap` {gap}; expected at "
                "least one round, a positive time and a gap >= 0"
            )
        if is_exact(target):
            found = cls.solve(
                target.astype(float), draft.astype(float), k, scheme, gap, most_rounds, seconds
            )
            return cls.of(target, draft, k, scheme, found.ranks, _rational(found.weights))
        p = target.astype(np.float64) / np.sum(target, dtype=np.float64)
        q = draft.astype(np.float64) / np.sum(draft, axis=-1, keepdims=True, dtype=np.float64)
        bound, witness = _upper_bound(p, q, k, scheme)
        aim, face = _aim(p, q, k, scheme, witness)
        base_of = base_of_order(law, q, k)
        end = time.perf_counter() + seconds
        orders = law.prefix_order(p, q, k)[None, :]
        ranks = np.empty((0, p.shape[0]), dtype=np.int32)
        bases, weights = np.empty((0, p.shape[0])), np.empty(0)
        best: PriorityMixture | None = None
        for _ in range(most_rounds):
            ranks = np.concatenate([ranks, np.argsort(orders, axis=-1).astype(np.int32)])
            bases = np.concatenate([bases, [base_of(order) for order in orders]])
            weights = np.concatenate([weights, np.zeros(len(orders))])
            weights = fit_weights(bases, aim, weights)
            kept = weights > 0
            ranks, bases, weights = ranks[kept], bases[kept], weights[kept]
            base = combination(weights, bases)
            mixture = cls(p, q, k, scheme, ranks, weights, base, bound, witness)
            if best is None or mixture.value > best.value:
                best = mixture
            if best.gap <= gap or time.perf_counter() > end:
                break
            orders = _shortfall_orders(aim, base, face)
        assert best is not None
        return best

    @classmethod
    def of(
        cls,
        target: Array,
        draft: Array,
        k: int,
        scheme: str,
        ranks: np.ndarray,
        weights: Array,
    ) -> PriorityMixture:
        """The mixture of given orders; exact on Fractions.

        Args:
            target: ``(V,)``.
            draft: ``(V,)`` or ``(k, V)``.
            k: number of drafts.
            scheme: key of the draft scheme.
            ranks: ``(n, V)`` permutations; the highest rank wins.
            weights: ``(n,)`` law over the orders.

        Raises:
            DistributionError, ShapeError: laws or weights that are none, or do not fit together.
        """
        target, draft, weights = np.asarray(target), np.asarray(draft), np.asarray(weights)
        law = draft_scheme(scheme)
        check_same_vocabulary(target, draft)
        check_pmf("target", target)
        law.check(draft, k)
        check_pmf("weights", weights)
        if not np.all(np.sort(ranks, axis=-1) == np.arange(target.shape[0])):
            raise DistributionError("a row of `ranks` is not a permutation of the vocabulary")
        base_of = base_of_order(law, draft, k)
        bases = np.stack([base_of(np.argsort(row)) for row in ranks])
        bound, witness = _upper_bound(target, draft, k, scheme)
        ranks = np.asarray(ranks)
        base = weights @ bases
        return cls(target, draft, k, scheme, ranks, weights, base, bound, witness)

    @property
    def accepted_mass(self) -> Array:
        """``(V,)``: ``min(b, p)``, the probability that the ladder outputs each token."""
        return np.minimum(self.base, self.target)

    @property
    def residual(self) -> Array:
        """``(V,)``: law of the output where the picked draft is rejected."""
        return residual(self.target, self.base)

    @property
    def value(self) -> Array:
        """Acceptance of this rule: the lower bound on the optimum."""
        return np.sum(self.accepted_mass)

    @property
    def gap(self) -> Array:
        """How far the acceptance may be from the optimum; at least 0."""
        gap = self.bound - self.value
        return gap if gap > 0 else gap * 0

    def acceptance(self) -> Acceptance:
        """Both bounds with their gap."""
        tolerance = 0 if is_exact(self.target) else TOLERANCE
        return Acceptance.between(
            self.value, self.bound, self.witness, tolerance, base=self.base, plan=self
        )

    def verdict(self, drafts: Array) -> Verdict:
        """What the rule does with the drafts at hand, the draw of the order averaged out.

        Slot i has mass ``sum_o weight_o [slot i ranks highest in order o] min(1, p / b)``; a
        repeated token is taken through its first slot.

        Args:
            drafts: ``(..., k)`` integer tokens.

        Raises:
            ShapeError, ImpossibleDraft: not k drafts, or none that the scheme may draw.
        """
        drafts = np.asarray(drafts)
        if drafts.shape[-1:] != (self.k,):
            raise ShapeError(f"`drafts` has shape {drafts.shape}; expected (..., {self.k})")
        law = draft_scheme(self.scheme)
        many = drafts.ndim - 1  # one draft law for all of them
        law.check_drafts(self.draft[(None,) * many] if law.per_slot else self.draft, drafts)
        accept = capped_ratio(self.target, self.base)[drafts]
        picked = accept * 0
        for rank, weight in zip(self.ranks, self.weights, strict=True):
            top = np.argmax(rank[drafts], axis=-1)
            picked = picked + weight * (np.arange(drafts.shape[-1]) == top[..., None])
        residual = np.broadcast_to(self.residual, (*drafts.shape[:-1], len(self.target)))
        return Verdict.from_masses(drafts, picked * accept, residual)

    def sample(self, drafts: Array, uniforms: Array) -> Draw:
        """Draw the output on a tape; see `Verdict.sample`."""
        return self.verdict(drafts).sample(uniforms)


def _upper_bound(target: Array, draft: Array, k: int, scheme: str) -> tuple[Array, np.ndarray]:
    """The best known bound: the sorted prefix, or for heterogeneous drafts the subset search."""
    if scheme == "heterogeneous" and not is_exact(target):
        found = search_subsets(target, draft)
        return found.upper, found.witness
    return best_prefix(target, draft, k, scheme)


def _aim(
    target: np.ndarray, draft: np.ndarray, k: int, scheme: str, witness: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The accepted mass to reach, and for each token its face: the lower, the more preferred."""
    if scheme == "heterogeneous":
        return target, witness.astype(np.float64)
    base = optimal_base(target, draft, k, scheme)
    slope = np.ones(base.shape)
    np.divide(base, target, out=slope, where=target > base)
    return np.minimum(base, target), np.round(slope, 9)  # rounding joins what is one face


def _shortfall_orders(aim: np.ndarray, base: np.ndarray, face: np.ndarray) -> np.ndarray:
    """``(n, V)`` tokens by face, then by how far the base falls short of the aim; the worst last.

    One order for each of the `SCALES`; repetitions in a row are left out.
    """
    short = np.full((len(SCALES), aim.shape[0]), -np.inf)
    for row, scale in zip(short, SCALES, strict=True):
        with np.errstate(over="ignore"):  # an aim near the smallest float
            np.divide(aim - base, aim**scale, out=row, where=aim > 0)
    orders = np.array([np.lexsort((row, -face)) for row in short])
    new = np.any(orders[1:] != orders[:-1], axis=-1)
    return orders[np.append(True, new)]


def _rational(weights: np.ndarray) -> Array:
    """Weights as Fractions that sum to 1."""
    counts = [max(0, round(float(w) * DENOMINATOR)) for w in weights]
    return np.array([Fraction(c, sum(counts)) for c in counts], dtype=object)
