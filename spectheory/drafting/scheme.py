"""What a draft scheme is: a joint law of k draft tokens, and a sampler on an explicit tape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from spectheory.arrays import Array, is_exact, namespace, ratio
from spectheory.discovery import find, named
from spectheory.distributions import check_pmf
from spectheory.errors import InputError, ShapeError, SupportError, TooLarge

TUPLE_LIMIT = 4_000_000
"""Enumeration refuses more draft tuples than this (a table of that many rows is ~100 MB)."""


class DraftLaw(NamedTuple):
    """The law of an ordered draft tuple.

    Attributes:
        tuples: ``(n, k)`` integer tokens, every tuple of positive probability once.
        probability: ``(n,)``, in the arithmetic of the draft.
    """

    tuples: Array
    probability: Array


class DraftScheme(ABC):
    """A way to propose k tokens from a draft law.

    Class facts:
        key: name in the API, the command line and tables.
        reference: citation key of the source.
        prefix_exact: whether the optimum over subsets is attained on a prefix of `prefix_order`,
            so that the sorted-prefix dual is the optimum and not only an upper bound.
        distinct: whether the drafts of one tuple are always different tokens.
        per_slot: whether the draft law carries a slot axis, ``(..., k, V)``.
    """

    key: ClassVar[str]
    reference: ClassVar[str]
    prefix_exact: ClassVar[bool] = True
    distinct: ClassVar[bool] = False
    per_slot: ClassVar[bool] = False

    @classmethod
    def examples(cls) -> Iterator[DraftScheme]:
        """The instances that the catalogue, tests and tables use."""
        yield cls()

    # -- public, checked ---------------------------------------------------------------------

    def law(self, draft: Array, k: int) -> DraftLaw:
        """Exact law of the draft tuple, by enumeration.

        Args:
            draft: ``(V,)`` law, or ``(k, V)`` for a per-slot scheme.
            k: number of drafts.

        Raises:
            TooLarge: more than `TUPLE_LIMIT` tuples.
            SupportError: see `check`.
        """
        self.check(draft, k)
        if draft.ndim != 1 + self.per_slot:
            raise ShapeError(
                f"`draft` has shape {tuple(draft.shape)}; the law of a tuple is enumerated for one "
                f"position at a time, shape {'(k, V)' if self.per_slot else '(V,)'}"
            )
        tuples, probability = self._law(draft, k)
        possible = probability > 0
        kept = np.flatnonzero(np.asarray(possible, dtype=bool))
        xp = namespace(draft)
        return DraftLaw(xp.asarray(tuples[kept]), xp.take(probability, xp.asarray(kept), axis=0))

    def sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        """Draw ``(..., k)`` drafts on an explicit tape.

        Without its tokens of probability 0 the same drafts are drawn from a law.

        Args:
            draft: ``(..., V)``, or ``(..., k, V)`` for a per-slot scheme.
            uniforms: ``(..., tape_length(k))`` in [0, 1); each entry is used once.
        """
        self.check(draft, k)
        if uniforms.shape[-1] != self.tape_length(k):
            raise ShapeError(
                f"`uniforms` has {uniforms.shape[-1]} entries on its last axis; scheme "
                f"`{self.key}` with k = {k} needs {self.tape_length(k)}"
            )
        return self._sample(draft, k, uniforms)

    def check(self, draft: Array, k: int) -> None:
        """Refuse a draft law or a k that the scheme cannot serve.

        Raises:
            InputError: k is not a positive integer.
            DistributionError, ShapeError: the draft is not a law, or lacks its slot axis.
            SupportError: k distinct drafts asked of fewer than k tokens of positive probability.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError(f"`k` is {k!r}; expected an integer >= 1")
        check_pmf("draft", draft)
        if self.per_slot and (draft.ndim < 2 or draft.shape[-2] != k):
            raise ShapeError(
                f"`draft` has shape {tuple(draft.shape)}; scheme `{self.key}` with k = {k} needs "
                f"one law a slot, (..., {k}, V)"
            )
        if (most := self.most_drafts(draft, k)) < k:
            raise SupportError(
                f"`k` is {k} but a row of `draft` gives positive probability to {most} "
                f"tokens only; scheme `{self.key}` draws distinct tokens"
            )

    def most_drafts(self, draft: Array, k: int) -> int:
        """k, or as many as the scheme can draw from every row of a law if these are fewer.

        >>> import numpy as np
        >>> scheme("without_replacement").most_drafts(np.array([0.5, 0.5, 0.0]), 3)
        2
        """
        if not self.distinct:
            return k
        xp = namespace(draft)
        return min(k, int(xp.min(xp.sum(xp.astype(draft > 0, xp.int64), axis=-1))))

    # -- what a scheme defines ---------------------------------------------------------------

    @abstractmethod
    def _law(self, draft: Array, k: int) -> tuple[np.ndarray, Array]:
        """All tuples that may occur, with their probabilities (zeros allowed)."""

    @abstractmethod
    def _sample(self, draft: Array, k: int, uniforms: Array) -> Array:
        """See `sample`."""

    @abstractmethod
    def tape_length(self, k: int) -> int:
        """How many uniforms `sample` needs."""

    @abstractmethod
    def prefix_containment(self, draft: Array, k: int, order: Array) -> Array:
        """Probability that all drafts lie in each prefix of a token order.

        Args:
            draft: ``(..., V)``, or ``(..., k, V)`` for a per-slot scheme.
            order: ``(..., V)`` permutation of the tokens.

        Returns:
            ``(..., V)``: entry j is Q(H) for H the first j + 1 tokens of the order.
        """

    def prefix_order(self, target: Array, draft: Array, k: int) -> Array:
        """``(..., V)`` token order whose prefixes the dual searches: ascending p/q.

        Tokens that the draft never proposes come last: they are in no minimising subset.
        """
        xp = namespace(target, draft)
        both = target + draft
        # p / (p + q) is monotone in p / q and needs no infinity where q = 0.
        score = xp.where(both > 0, ratio(target, both), both * 0 + 2)
        return xp.argsort(score, axis=-1, stable=True)

    def inclusion(self, draft: Array, k: int) -> Array | None:
        """``(..., V)`` probability that each token is among the drafts; None without a formula."""
        return None


@cache
def schemes() -> dict[str, DraftScheme]:
    """Every draft scheme by key.

    >>> sorted(schemes())[:2]
    ['distinct', 'greedy']
    """
    return find("spectheory.drafting", DraftScheme)  # type: ignore[type-abstract]


def scheme(key: str) -> DraftScheme:
    """The scheme with that key.

    Raises:
        UnknownName: no such scheme; the message lists those there are.
    """
    return named(schemes(), key, "draft scheme")


def all_tuples(size: int, k: int) -> np.ndarray:
    """``(size ** k, k)``: every k-tuple over ``range(size)``.

    Raises:
        TooLarge: more than `TUPLE_LIMIT` of them.

    >>> all_tuples(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    count = size**k
    if count > TUPLE_LIMIT:
        raise TooLarge(
            f"{size} tokens and k = {k} give {count:,} draft tuples, above the limit of "
            f"{TUPLE_LIMIT:,}; sample instead of enumerating"
        )
    return np.stack(np.unravel_index(np.arange(count), (size,) * k), axis=-1)


def slot_law(draft: Array, drafts: Array, slot: int) -> Array:
    """The law that slot ``slot`` was drawn from, given how ``draft`` compares with ``drafts``.

    A draft with one axis more than the drafts, ``(..., k, V)``, holds one law a slot; otherwise all
    slots share ``(..., V)``.
    """
    return draft[..., slot, :] if draft.ndim == drafts.ndim + 1 else draft


def exact_prefix_containment(scheme: DraftScheme, draft: Array, k: int, order: Array) -> Any:
    """`DraftScheme.prefix_containment` by enumeration; for exact arithmetic and as an oracle.

    ``draft`` is one position, ``(V,)`` or ``(k, V)``, and ``order`` is ``(V,)``.
    """
    xp = namespace(draft)
    tuples, probability = scheme.law(draft, k)
    position = np.argsort(np.asarray(order))
    deepest = np.max(position[np.asarray(tuples)], axis=-1)
    zero = draft.flat[0] * 0 if is_exact(draft) else 0.0
    at = [zero] * draft.shape[-1]
    for depth, mass in zip(deepest.tolist(), list(probability), strict=True):
        at[depth] = at[depth] + mass
    return xp.cumulative_sum(xp.asarray(at, dtype=draft.dtype), axis=-1)
