"""Which tokens a relaxed rule treats alike: partitions, rank windows, nearest neighbours.

Image tokenizers have many codes that look the same, so relaxed rules pool the mass of codes around
the draft. A partition puts each token in one group. A window by rank of the target's law moves with
the token, so it is no partition. Neighbourhoods are ordered lists, nearest first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spectheory.arrays import Array, constant, is_token, namespace, number
from spectheory.distributions import descending
from spectheory.errors import InputError, ShapeError, VocabularyMismatch


class TokenGroups(ABC):
    """A group of tokens around each token, itself included."""

    @abstractmethod
    def around(self, target: Array, law: Array) -> Array:
        """``(..., V)`` mass under ``law`` of the group around each token.

        Args:
            target: ``(..., V)``; dynamic groups depend on it.
            law: ``(..., V)``.
        """


class StaticGroups(TokenGroups):
    """Groups that partition the vocabulary, whatever the laws are."""

    @abstractmethod
    def labels(self, size: int) -> np.ndarray:
        """``(size,)`` group of each token, integers from 0.

        Raises:
            VocabularyMismatch: the groups are over another vocabulary.
        """

    def around(self, target: Array, law: Array) -> Array:
        xp = namespace(law)
        labels = self.labels(law.shape[-1])
        members = _members(labels)
        padded = xp.concat([law, law[..., :1] * 0], axis=-1)
        listed = xp.take(padded, constant(members.ravel(), law), axis=-1)
        mass = xp.sum(xp.reshape(listed, (*law.shape[:-1], *members.shape)), axis=-1)
        return xp.take(mass, constant(labels, law), axis=-1)

    def same(self, tokens: Array, like: Array) -> Array:
        """Mask ``(..., V)`` of the tokens in the group of each of ``tokens`` (``(...)``)."""
        xp = namespace(like)
        labels = constant(self.labels(like.shape[-1]), like)
        mine = xp.reshape(xp.take(labels, xp.reshape(tokens, (-1,))), tokens.shape)
        return mine[..., None] == labels


def _members(labels: np.ndarray) -> np.ndarray:
    """``(groups, largest)`` token ids of each group, padded with the vocabulary's size."""
    counts = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    place = np.arange(labels.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((counts.size, counts.max()), labels.size)
    table[labels[order], place] = order
    return table


@dataclass(frozen=True)
class AdjacentIds(StaticGroups):
    """Blocks of ``width`` adjacent token ids, for laws that come without a codebook.

    >>> AdjacentIds(2).around(np.zeros(3), np.array([0.5, 0.25, 0.25])).tolist()
    [0.75, 0.75, 0.25]
    """

    width: int = 2

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"`width` is {self.width}; a group has at least one token")

    def labels(self, size: int) -> np.ndarray:
        return np.arange(size) // self.width


@dataclass(frozen=True, eq=False)
class Partition(StaticGroups):
    """Any partition, as a group label for each token (for example clusters of a codebook).

    Args:
        of_token: ``(V,)`` integers; equal numbers are one group.

    Raises:
        ShapeError: not one integer a token.

    >>> Partition(np.array([0, 1, 0])).around(np.zeros(3), np.array([0.5, 0.25, 0.25])).tolist()
    [0.75, 0.25, 0.75]
    """

    of_token: np.ndarray

    def __post_init__(self) -> None:
        given = np.asarray(self.of_token)
        if given.ndim != 1 or given.size == 0 or not np.issubdtype(given.dtype, np.integer):
            raise ShapeError(
                f"`of_token` has shape {given.shape} and dtype {given.dtype}; expected (V,) "
                "integers, one group label a token"
            )

    @cached_property
    def _compact(self) -> np.ndarray:
        return np.unique(self.of_token, return_inverse=True)[1]

    def labels(self, size: int) -> np.ndarray:
        if size != self._compact.size:
            raise VocabularyMismatch(
                f"the partition is over {self._compact.size} tokens, the laws over {size}. "
                "Another codebook?"
            )
        return self._compact


@dataclass(frozen=True, eq=False)
class RankWindow(TokenGroups):
    """The tokens a few ranks around x in the target's order: dynamic groups, no partition.

    The group around the token of rank i has ranks ``i - before .. i + after``, less the tokens
    whose target probability or codebook entry is far from that of x. Groups overlap, so grouped
    acceptance may be *below* ``1 - TV``.

    Args:
        before: ranks above x (more probable).
        after: ranks below x.
        gap: tokens with ``|p(y) - p(x)| >= gap`` are dropped; None keeps them.
        codebook: ``(V, d)`` entries, or None.
        distance: tokens whose squared codebook distance is at least this are dropped.

    Reference: so2025grouped, dynamic clustering; the two filters as in the released code.

    >>> p = np.array([0.20, 0.10, 0.25, 0.15, 0.30])
    >>> RankWindow().around(p, p).round(2).tolist()
    [0.6, 0.25, 0.75, 0.45, 0.55]
    """

    before: int = 1
    after: int = 1
    gap: float | None = None
    codebook: np.ndarray | None = None
    distance: float = 0.5

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0:
            raise InputError(f"`before`, `after` are {self.before}, {self.after}; expected >= 0")
        if self.codebook is not None and np.ndim(self.codebook) != 2:
            raise ShapeError(f"`codebook` has shape {np.shape(self.codebook)}; expected (V, d)")

    def around(self, target: Array, law: Array) -> Array:
        xp = namespace(target, law)
        if self.codebook is not None and len(self.codebook) != law.shape[-1]:
            raise VocabularyMismatch(
                f"`codebook` has {len(self.codebook)} entries, the laws {law.shape[-1]} tokens"
            )
        order = descending(target)
        batch = np.broadcast_shapes(tuple(target.shape[:-1]), tuple(law.shape[:-1]))
        shape = (*batch, law.shape[-1])
        order, target, law = (xp.broadcast_to(a, shape) for a in (order, target, law))
        p, mass = (xp.take_along_axis(a, order, axis=-1) for a in (target, law))
        found = mass
        for offset in range(-self.before, self.after + 1):
            if offset == 0 or abs(offset) >= law.shape[-1]:
                continue
            near = _shifted(mass, offset)
            if self.gap is not None:
                far = abs(_shifted(p, offset) - p) >= number(self.gap, p)
                near = xp.where(far, near * 0, near)
            if self.codebook is not None:
                near = xp.where(self._distant(order, offset), near * 0, near)
            found = found + near
        return xp.take_along_axis(found, xp.argsort(order, axis=-1), axis=-1)

    def _distant(self, order: Array, offset: int) -> Array:
        """Whether the token ``offset`` ranks on is too far in the codebook, by rank."""
        xp = namespace(order)
        entries = constant(np.asarray(self.codebook, dtype=np.float64), order)
        mine, other = (
            xp.reshape(xp.take(entries, xp.reshape(ids, (-1,)), axis=0), (*order.shape, -1))
            for ids in (order, _shifted(order, offset))
        )
        return xp.sum((mine - other) ** 2, axis=-1) >= self.distance


def _shifted(values: Array, offset: int) -> Array:
    """Entry i + offset at place i of the last axis, 0 beyond the ends."""
    xp = namespace(values)
    size = values.shape[-1]
    empty = values[..., : abs(offset)] * 0
    if offset > 0:
        return xp.concat([values[..., offset:], empty], axis=-1)
    return xp.concat([empty, values[..., : size + offset]], axis=-1)


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The ``count`` tokens nearest to each token, nearest first, itself not among them.

    Args:
        count: neighbours a token.
        codebook: ``(V, d)`` entries whose Euclidean distance counts; None for adjacent token ids.

    >>> Neighbourhoods(2).table(4).tolist()
    [[1, 2], [0, 2], [1, 3], [2, 1]]
    """

    count: int = 2
    codebook: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"`count` is {self.count}; expected at least one neighbour")
        if self.codebook is not None and np.ndim(self.codebook) != 2:
            raise ShapeError(f"`codebook` has shape {np.shape(self.codebook)}; expected (V, d)")

    @cached_property
    def _tables(self) -> dict[int, np.ndarray]:
        return {}

    def table(self, size: int) -> np.ndarray:
        """``(size, n)`` neighbours of each token, n the count or all the others.

        Raises:
            VocabularyMismatch: the codebook has another number of entries.
        """
        if size not in self._tables:
            self._tables[size] = self._nearest(size)
        return self._tables[size]

    def _nearest(self, size: int) -> np.ndarray:
        count = min(self.count, size - 1)
        token = np.arange(size)[:, None]
        if self.codebook is None:
            steps = np.arange(1, count + 1)
            found = token + np.concatenate([-steps, steps])
            distance = np.where((found < 0) | (found >= size), np.inf, np.abs(found - token))
        else:
            if len(self.codebook) != size:
                raise VocabularyMismatch(
                    f"`codebook` has {len(self.codebook)} entries, the laws {size} tokens"
                )
            from scipy.spatial import cKDTree

            nearest = cKDTree(self.codebook).query(self.codebook, k=count + 1)
            distance, found = (np.reshape(part, (size, count + 1)) for part in nearest)
            distance = np.where(found == token, np.inf, distance)
        order = np.lexsort((found, distance), axis=-1)[:, :count]  # ties by token id
        return np.take_along_axis(found, order, axis=-1)

    def columns(self, values: Array) -> Iterator[Array]:
        """``(..., V)`` for each rank of nearness: the value at that neighbour of each token."""
        for column in self.table(values.shape[-1]).T:
            yield namespace(values).take(values, constant(column, values), axis=-1)

    def near(self, tokens: Array, like: Array) -> Array:
        """Mask ``(..., V)`` of each of ``tokens`` (``(...)``) and its neighbours."""
        xp = namespace(like)
        mask = is_token(tokens, like)
        for column in self.table(like.shape[-1]).T:
            listed = xp.take(constant(column, like), xp.reshape(tokens, (-1,)))
            mask = mask | is_token(xp.reshape(listed, tokens.shape), like)
        return mask

    def received(self, values: Array) -> Array:
        """``(..., V)`` sum of values over the tokens x with y near x, and y itself."""
        xp = namespace(values)
        size = values.shape[-1]
        table = self.table(size)
        givers = _members(np.append(table.ravel(), size - 1))[:size]  # places in the flat table
        givers = np.where(givers < table.size, givers // max(table.shape[1], 1), size)
        padded = xp.concat([values, values[..., :1] * 0], axis=-1)
        result = values
        for column in givers.T:
            result = result + xp.take(padded, constant(column, values), axis=-1)
        return result


PAIRED_IDS = AdjacentIds(2)
"""Default partition."""

NEXT_RANKS = RankWindow()
"""Default window: one rank either side."""

NEXT_IDS = Neighbourhoods(2)
"""Default neighbourhood: the two nearest ids."""
