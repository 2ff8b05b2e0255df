"""What a draft scheme is: a joint law of k draft tokens, and a sampler on an explicit tape."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from spectheory.arrays import Array, is_exact, namespace, pick, ratio
from spectheory.discovery import find, named
from spectheory.distributions import check_pmf, shared_batch
from spectheory.errors import ImpossibleDraft, InputError, ShapeError, SupportError, TooLarge

UNIT = 2.0**64
"""Draft masses are multiplied by it before they divide."""

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

    def check_drafts(self, draft: Array, drafts: Array) -> None:
        """Refuse drafts that the scheme cannot have drawn.

        Args:
            draft: ``(..., V)``, or ``(..., k, V)`` for a per-slot scheme.
            drafts: ``(..., k)``.

        Raises:
            ShapeError: no axis of drafts, or drafts that are not as many as the slot laws.
            ImpossibleDraft: no tokens, or tokens that cannot stand where they stand.
        """
        check_possible(draft, drafts)
        if self.distinct and has_repeats(drafts):
            raise ImpossibleDraft(
                f"`drafts` holds a token twice at one position; scheme `{self.key}` draws distinct "
                "tokens"
            )

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
        if is_exact(draft):
            both = target + draft  # p / (p + q) is monotone in p / q and at most 1
            score = xp.where(both > 0, ratio(target, both), both * 0 + 2)
        else:
            # Beside the peak of a sharply tempered draft stand masses of 1e-320: p / (p + q) would
            # be 1 for all of them, and p / q overflow.
            score = ratio(target, draft * UNIT)
            score = xp.where(draft > 0, score, score * 0 + math.inf)
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


def check_possible(draft: Array, drafts: Array) -> None:
    """Refuse drafts that are no tokens, or that have no draft probability where they stand.

    Args:
        draft: ``(..., V)``, or ``(..., k, V)`` with one axis more than the drafts.
        drafts: ``(..., k)``.

    Raises:
        ShapeError: shapes that do not fit together.
        ImpossibleDraft: tokens outside the vocabulary, or of draft probability 0.
    """
    xp = namespace(drafts)
    if not xp.isdtype(drafts.dtype, "integral"):
        raise ImpossibleDraft(f"`drafts` has dtype {drafts.dtype}; expected integer tokens")
    if drafts.ndim < 1 or drafts.shape[-1] < 1:
        raise ShapeError(f"`drafts` has shape {tuple(drafts.shape)}; expected (..., k), k >= 1")
    k, size = drafts.shape[-1], draft.shape[-1]
    per_slot = draft.ndim == drafts.ndim + 1
    if per_slot and draft.shape[-2] != k:
        raise ShapeError(f"`draft` has {draft.shape[-2]} slot laws but `drafts` has {k} slots")
    batch = tuple(draft.shape[: draft.ndim - 1 - per_slot])
    shared_batch(draft=batch, drafts=tuple(drafts.shape[:-1]))
    if 0 in drafts.shape:
        return
    lowest, highest = int(xp.min(drafts)), int(xp.max(drafts))
    if lowest < 0 or highest >= size:
        raise ImpossibleDraft(
            f"`drafts` holds token {lowest if lowest < 0 else highest}; the vocabulary has "
            f"tokens 0 to {size - 1}. Padding id, or another tokenizer?"
        )
    for i in range(k):
        mass = pick(slot_law(draft, drafts, i), drafts[..., i])
        if not bool(namespace(mass).all(mass > 0)):
            raise ImpossibleDraft(
                f"a token in slot {i} of `drafts` has probability 0 under `draft`; it was not "
                "drawn from that law. Was the draft tempered or truncated after sampling?"
            )


def has_repeats(drafts: Array) -> bool:
    """Whether some row of ``(..., k)`` drafts holds a token twice."""
    xp = namespace(drafts)
    ordered = xp.sort(drafts, axis=-1)
    return bool(xp.any(ordered[..., 1:] == ordered[..., :-1]))


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
