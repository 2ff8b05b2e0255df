"""What a zoo entry is: a sampler with one known mistake, and what is known about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import ClassVar, Self

import numpy as np

from spectheory.audit.sampler import Draws
from spectheory.discovery import find, named
from spectheory.distributions import total_variation


class Sight(StrEnum):
    """The least audit that sees a mistake."""

    MARGINAL = "marginal"
    """The law of one token, drawn again and again at one context."""
    ACCEPTANCE = "acceptance"
    """How often drafts are accepted; the law of the output is the target's."""
    STREAM = "stream"
    """The law of tokens that follow each other; every first token is right."""


@dataclass(frozen=True)
class ZooEntry(ABC):
    """A miniature of one mistake; calling it draws tokens the way `spectheory audit` asks for.

    Class facts:
        key: name in the command line and tables.
        mechanism: one sentence.
        sources: public threads, or source files, that show it.
        seen_by: the least audit that sees it.

    Attributes:
        mended: whether the mistake is taken out.
    """

    key: ClassVar[str]
    mechanism: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    seen_by: ClassVar[Sight] = Sight.MARGINAL

    mended: bool = False

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """The instances that are listed and audited; none of a family, which has no key."""
        if hasattr(cls, "key"):
            yield cls()

    def mend(self) -> Self:
        """The same miniature without the mistake."""
        return replace(self, mended=True)

    @abstractmethod
    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        """N independent first tokens of a speculative step.

        Args:
            target: ``(V,)`` float64, the law that the tokens should have.
            draft: ``(V,)`` float64, the draft model's law.
            n: how many.
            seed: of the generator; one seed, one outcome.
        """

    @abstractmethod
    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """``(V,)`` exact law of the tokens that a call draws."""

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float | None:
        """Exact probability that a call's token is an accepted draft; None if it does not say."""
        return None

    @abstractmethod
    def case(self) -> tuple[np.ndarray, np.ndarray]:
        """Target and draft, each ``(V,)``, on which the entry is shown."""

    def bias(self, target: np.ndarray, draft: np.ndarray) -> float:
        """Exact total-variation bias per draw."""
        return float(total_variation(self.output_law(target, draft), target))

    def single_step(
        self, target: np.ndarray, draft: np.ndarray, n: int, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Tokens at each row of n independent single steps; here the only row."""
        return (self(target, draft, n, seed).tokens,)


@cache
def entries() -> dict[str, ZooEntry]:
    """Every entry by key, in the order marginal, acceptance, stream.

    >>> entries()["uniform_zero"].seen_by
    <Sight.MARGINAL: 'marginal'>
    """
    found = find("spectheory.zoo", ZooEntry)  # type: ignore[type-abstract]
    order = list(Sight)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[1].seen_by), item[0])))


def entry(key: str) -> ZooEntry:
    """The entry with that key.

    Raises:
        UnknownName: no such entry; the message lists those there are.
    """
    return named(entries(), key, "zoo entry")
