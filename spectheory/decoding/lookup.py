"""Drafts copied from the text itself: prompt lookup, and copying an input that is being edited.

A copied token is a draw from a one-hot law, so any rule verifies it: with rejection it is accepted
with its target probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectheory.decoding.draft_source import DraftJob, DraftSession
from spectheory.decoding.tree import ROOT, DraftTree
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError


def last_match(text: np.ndarray, suffix: int) -> int | None:
    """Where the latest earlier copy of the last ``suffix`` tokens ends; None without one.

    >>> last_match(np.array([1, 2, 3, 1, 2]), suffix=2)
    2
    """
    if suffix >= len(text):
        return None
    ends = np.arange(suffix, len(text))
    same = np.ones(len(ends), bool)
    for back in range(1, suffix + 1):
        same &= text[ends - back] == text[-back]
    found = np.flatnonzero(same)
    return int(ends[found[-1]]) if len(found) else None


def one_hot(token: int, size: int) -> np.ndarray:
    """``(V,)`` float64 law of a token that is certain."""
    law = np.zeros(size)
    law[token] = 1
    return law


@dataclass(frozen=True)
class PromptLookup:
    """What followed the latest earlier copy of the last few tokens, longest copy first.

    Attributes:
        vocab_size: V.
        longest, shortest: lengths of the suffix that is looked up, in tokens.

    Reference: saxena2023prompt.

    Raises:
        InputError: no length, or one below 1.
    """

    vocab_size: int
    longest: int = 3
    shortest: int = 1
    name: str = "prompt lookup"

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise InputError(
                f"`shortest`, `longest` are {self.shortest}, {self.longest}; expected "
                "1 <= shortest <= longest"
            )

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _Lookups(self)


@dataclass(frozen=True)
class InputCopy:
    """Goes on copying the prompt from where the text last agreed with it.

    After a change the copy is found again by the last tokens, at the first match behind the place
    where it was lost, so that repeats in the input do not throw it back.

    Attributes:
        vocab_size: V.
        suffix: tokens that must agree to find the copy again.

    Reference: ge2022lossless, input-guided aggressive decoding.
    """

    vocab_size: int
    suffix: int = 1
    name: str = "input copy"

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _InputCopies(self, texts)


class _Lookups:
    """A session of `PromptLookup`; it remembers nothing."""

    def __init__(self, source: PromptLookup) -> None:
        self.source = source

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        size = self.source.vocab_size
        return [copied(job, self._following(np.asarray(job.text)), size, scheme) for job in jobs]

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        pass

    def select(self, texts: Sequence[int]) -> None:
        pass

    def offered(self, text: Sequence[int], row: int) -> int:
        """See `RunsShort`."""
        return len(self._following(np.asarray(text)))

    def _following(self, text: np.ndarray) -> np.ndarray:
        for suffix in range(self.source.longest, self.source.shortest - 1, -1):
            found = last_match(text, suffix)
            if found is not None:
                return text[found:]
        return text[:0]


class _InputCopies:
    """A session of `InputCopy`."""

    def __init__(self, source: InputCopy, texts: int) -> None:
        self.source = source
        self.pointers = [_Pointer(source.suffix) for _ in range(texts)]

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        return [
            copied(job, pointer.follow(np.asarray(job.text)), self.source.vocab_size, scheme)
            for job, pointer in zip(jobs, self.pointers, strict=True)
        ]

    def offered(self, text: Sequence[int], row: int) -> int:
        """See `RunsShort`."""
        return len(self.pointers[row].follow(np.asarray(text)))

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        pass

    def select(self, texts: Sequence[int]) -> None:
        self.pointers = [self.pointers[text] for text in texts]


class _Pointer:
    """Where in its input a text stands."""

    def __init__(self, suffix: int) -> None:
        self.suffix = suffix
        self.source = np.zeros(0, np.int64)
        self.read = 0
        self.at: int | None = 0
        """Next token of the input to copy; None while the copy is lost."""
        self.lost = 0
        """Where the copy was lost last."""

    def follow(self, text: np.ndarray) -> np.ndarray:
        """The rest of the input to copy; the text of the first call is the input."""
        if not self.read:
            self.source, self.read = text, len(text)
        for end in range(self.read, len(text)):
            if self.at is not None:
                if self.source[self.at : self.at + 1].tolist() == [text[end]]:
                    self.at += 1
                    continue
                self.lost = self.at
            self.at = self._found(text[: end + 1])
        self.read = len(text)
        return self.source[:0] if self.at is None else self.source[self.at :]

    def _found(self, text: np.ndarray) -> int | None:
        """The first place behind the loss where the input has the text's last tokens."""
        tail = text[-self.suffix :]
        for end in range(max(self.lost + 1, self.suffix), len(self.source)):
            if np.array_equal(self.source[end - self.suffix : end], tail):
                return end
        return None


def copied(
    job: DraftJob, tokens: Sequence[int] | np.ndarray, size: int, scheme: DraftScheme
) -> DraftTree:
    """The tree whose draws at level i are all ``tokens[i]``, as far as there are tokens.

    A scheme of distinct drafts draws each of them once.
    """
    tree, node, draws = DraftTree(), ROOT, 1
    for token, count in zip(tokens, job.branching, strict=False):
        law = one_hot(int(token), size)
        draws = scheme.most_drafts(law, draws * count)
        [node] = tree.add(node, [int(token)] * draws, law)
    return tree
