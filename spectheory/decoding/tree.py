"""Draft trees: the tokens that one pass of the target verifies together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from spectheory.arrays import Array
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.session import LawRows, Rows

ROOT = -1
"""The node that stands for the text so far."""


class Origin(NamedTuple):
    """What a law was made of: the law behind one wanted node of a model.

    Attributes:
        rows: what the model said; logits may still lie on the model's device.
        row: which of them.
        sampling: parameters that it was sampled with.
    """

    rows: Rows
    row: int
    sampling: Sampling


@dataclass
class DraftTree:
    """Drafted tokens below the text so far, level by level.

    Siblings with one token are one node, however often it was drawn; `draws` remembers the draws
    in their order. A chain is a tree in which each node was drawn from once.

    Attributes:
        tokens: token of each node.
        parents: node above each, `ROOT` at the top; smaller than the node's own number.
        draws: for each node that was drawn from, the nodes drawn, repeats included.
        laws: the law they were drawn from, ``(V,)``.
        origins: what that law was made of, where a model made it; see `origin`.

    >>> tree = DraftTree()
    >>> tree.add(ROOT, [5, 5, 3], law=None)
    [0, 1]
    >>> tree.draws[ROOT], tree.copies
    ([0, 0, 1], [2, 1])
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    draws: dict[int, list[int]] = field(default_factory=dict)
    laws: dict[int, Array] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)
    copies: list[int] = field(default_factory=list)
    """How many draws share each node."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def depth(self) -> int:
        """Levels below the text; the last node stands on the lowest."""
        return len(self.path_tokens(len(self.tokens) - 1))

    def add(
        self, parent: int, drawn: list[int], law: Array, origin: Origin | None = None
    ) -> list[int]:
        """Record tokens drawn at a node; returns the new nodes, one a different token."""
        nodes: dict[int, int] = {}
        for token in drawn:
            if token not in nodes:
                nodes[token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(parent)
                self.copies.append(0)
            self.copies[nodes[token]] += 1
        self.draws[parent] = [nodes[token] for token in drawn]
        self.laws[parent] = law
        if origin is not None:
            self.origins[parent] = origin
        return list(nodes.values())

    def drawn(self, node: int) -> list[int]:
        """The tokens drawn at a node, in order; none below a leaf."""
        return [self.tokens[child] for child in self.draws.get(node, ())]

    def origin(self, node: int) -> Origin:
        """What the law drawn from at a node was made of; a law that was given as such is its own.

        So is a nucleus: sums in another order, as on a device, may end it at another token.

        >>> import numpy as np
        >>> tree = DraftTree()
        >>> _ = tree.add(ROOT, [1], law=np.array([0.25, 0.75]))
        >>> rows, row, sampling = tree.origin(ROOT)
        >>> rows.law(row, sampling).tolist()
        [0.25, 0.75]
        """
        found = self.origins.get(node)
        if found is None or found.sampling.top_p is not None:
            return Origin(LawRows([self.laws[node]]), 0, PLAIN)
        return found

    def child(self, node: int, token: int) -> int | None:
        """The node below ``node`` with that token, if it was drawn."""
        for child in self.draws.get(node, ()):
            if self.tokens[child] == token:
                return child
        return None

    def path_tokens(self, node: int) -> list[int]:
        """The tokens from the top down to a node; none for the root."""
        tokens = []
        while node != ROOT:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]
