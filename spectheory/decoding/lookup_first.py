"""Copies from the text where it repeats itself, and another source where it does not.

The two gain on different texts, and a copy costs nothing to draft. Which of them drafts depends on
the text so far alone, so the rule sees the law that its drafts were drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectheory.decoding.draft_source import (
    DraftJob,
    DraftSession,
    DraftSource,
    FollowsTarget,
    RunsShort,
)
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.tree import DraftTree
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError

SHORTEST = 2
"""Tokens that must agree before a copy is preferred to another draft."""


@dataclass(frozen=True)
class LookupFirst:
    """What followed the last few tokens where they stood before; else another source's drafts.

    Attributes:
        lookup: finds copies, of all levels asked for.
        other: drafts where there is none.
        levels: most levels of the other's drafts: it is asked for fewer than a copy is good for.

    Raises:
        InputError: no levels.
    """

    lookup: PromptLookup
    other: DraftSource
    levels: int = 1

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise InputError(f"`levels` is {self.levels}; expected an integer >= 1")

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.lookup.name} + {self.other.name}"

    @property
    def vocab_size(self) -> int | None:
        """The other's, which must be the lookup's."""
        return self.other.vocab_size

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _LookupsFirst(self, texts)


class _LookupsFirst:
    def __init__(self, source: LookupFirst, texts: int) -> None:
        self.copies, self.other = source.lookup.open(texts), source.other.open(texts)
        self.levels = source.levels
        self.asked = [False] * texts
        """Whose last tree is the other's."""

    def follow(self, target: object) -> None:
        """See `FollowsTarget.follow`."""
        if isinstance(self.other, FollowsTarget):
            self.other.follow(target)

    def offered(self, text: Sequence[int], row: int) -> int:
        """See `RunsShort`."""
        assert isinstance(self.copies, RunsShort)
        found = self.copies.offered(text, row)
        if found or not isinstance(self.other, RunsShort):
            return found or self.levels
        return min(self.levels, self.other.offered(text, row))

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        copied = self.copies.propose(jobs, scheme)
        self.asked = [
            not len(tree) and bool(job.branching) for tree, job in zip(copied, jobs, strict=True)
        ]
        if not any(self.asked):
            return copied
        fewer = [
            job._replace(branching=job.branching[: self.levels] if asked else ())
            for job, asked in zip(jobs, self.asked, strict=True)
        ]
        drafted = self.other.propose(fewer, scheme)
        return [
            draft if asked else copy
            for copy, draft, asked in zip(copied, drafted, self.asked, strict=True)
        ]

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        if any(self.asked):
            own = [path if asked else [] for path, asked in zip(paths, self.asked, strict=True)]
            self.other.settle(own, tokens)

    def select(self, texts: Sequence[int]) -> None:
        self.copies.select(texts)
        self.other.select(texts)
