"""The optimal acceptance of any draft scheme, certified from both sides."""

from __future__ import annotations

import itertools

import numpy as np

from spectheory.arrays import Array, is_exact
from spectheory.distributions import check_pmf, check_same_vocabulary, shared_batch
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.errors import TooLarge
from spectheory.transport.acceptance import TOLERANCE, Acceptance
from spectheory.transport.optimal_base import optimal_base
from spectheory.transport.problem import TransportProblem
from spectheory.transport.subset_dual import SubsetBound, best_prefix
from spectheory.transport.subset_search import search_subsets

EXACT_VOCABULARY = 10
"""Largest vocabulary of the Fraction path, which enumerates draft tuples and subsets."""


def optimal_acceptance(target: Array, draft: Array, k: int, scheme: str = "iid") -> Acceptance:
    """The most that any lossless rule can accept, with a bound from each side.

    Upper bound: ``1 + p(H) - Q(H)`` of the best subset. Lower bound: ``sum min(b, p)`` of the
    minimal-divergence base b, which a lossless rule attains. For heterogeneous drafts both come
    from branch and bound over subsets (no base), in exact arithmetic from the list of all subsets
    and a maximum flow.

    float64 and float32 laws are divided by their sum in float64, so that the last digits of an
    input that sums to 1 + 1e-10 do not read as a gap.

    Args:
        target: ``(..., V)`` float, or object array of ``Fraction`` with V at most
            `EXACT_VOCABULARY`. Arrays of other libraries are copied to NumPy.
        draft: ``(..., V)``, or ``(..., k, V)`` for ``scheme="heterogeneous"``.
        k: number of drafts.
        scheme: key of the draft scheme.

    Returns:
        `Acceptance` with batch shape ``(...)``; exact (gap 0) on Fractions.

    Raises:
        DistributionError, VocabularyMismatch, SupportError, InputError: bad laws or k.
        TooLarge: Fractions over a larger vocabulary.

    Reference: hu2025towards, Theorem 4 (dual); fujishige1980lexicographically (base).

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> found = optimal_acceptance(p, q, 2)
    >>> round(float(found.value), 12), bool(found.certified), found.witness.tolist()
    (0.89, True, [True, True, False])
    """
    law = draft_scheme(scheme)
    check_same_vocabulary(target, draft)
    check_pmf("target", target)
    law.check(draft, k)
    target, draft = np.asarray(target), np.asarray(draft)
    size = target.shape[-1]
    batch = shared_batch(
        target=target.shape[:-1], draft=draft.shape[: draft.ndim - 1 - law.per_slot]
    )
    target = np.broadcast_to(target, (*batch, size))
    draft = np.broadcast_to(draft, (*batch, *draft.shape[draft.ndim - 1 - law.per_slot :]))
    exact = is_exact(target)
    if exact and size > EXACT_VOCABULARY:
        raise TooLarge(
            f"`target` holds Fractions over {size} tokens; exact arithmetic serves up to "
            f"{EXACT_VOCABULARY}. Pass float64: the gap is then about 1e-14"
        )
    if not exact:
        target, draft = (
            a.astype(np.float64) / np.sum(a, axis=-1, keepdims=True, dtype=np.float64)
            for a in (target, draft)
        )
    if not law.prefix_exact:
        return _by_rows(law, target, draft, k)
    upper = best_prefix(target, draft, k, scheme)
    base = optimal_base(target, draft, k, scheme)
    primal = np.sum(np.minimum(base, target), axis=-1)
    return Acceptance.between(primal, *upper, tolerance=0 if exact else TOLERANCE, base=base)


def _by_rows(law: DraftScheme, target: Array, draft: Array, k: int) -> Acceptance:
    """Heterogeneous drafts, a position at a time."""
    batch, size = target.shape[:-1], target.shape[-1]
    exact = is_exact(target)
    rows = zip(target.reshape(-1, size), draft.reshape(-1, *draft.shape[-2:]), strict=True)
    lower, upper, masks = [], [], []
    for p, q in rows:
        if exact:
            from spectheory.transport import max_flow

            lower.append(max_flow.solve(TransportProblem.of(p, law.law(q, k))).value)
            value, mask = least_subset(p, q)
        else:
            found = search_subsets(p, q, TOLERANCE)
            lower.append(found.lower)
            value, mask = found.upper, found.witness
        upper.append(value)
        masks.append(mask)
    primal, dual = (np.array(a, dtype=target.dtype).reshape(batch)[()] for a in (lower, upper))
    witness = np.array(masks).reshape(*batch, size)
    return Acceptance.between(primal, dual, witness, tolerance=0 if exact else TOLERANCE)


def least_subset(target: Array, draft: Array) -> SubsetBound:
    """Bound and mask of the best subset for independent drafts, by listing all of them.

    Args:
        target: ``(V,)``, any arithmetic; V at most `EXACT_VOCABULARY`.
        draft: ``(k, V)``, one law a slot.

    >>> float(least_subset(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [1.0, 0.0]])).value)
    0.5
    """
    size = target.shape[0]
    if size > EXACT_VOCABULARY:
        raise TooLarge(f"{size} tokens have 2^{size} subsets; the limit is 2^{EXACT_VOCABULARY}")
    best, witness = target[0] * 0 + 1, np.zeros(size, dtype=bool)
    for members in itertools.product([False, True], repeat=size):
        mask = np.array(members)
        value = 1 + np.sum(target[mask]) - np.prod(np.sum(draft[:, mask], axis=-1))
        if value < best:
            best, witness = value, mask
    return SubsetBound(best, witness)
