"""Drafts from an n-gram model that goes on learning from each text while it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spectheory.decoding.draft_source import DraftJob, DraftSession, draw_below
from spectheory.decoding.ngram import NgramModel, NgramReader
from spectheory.decoding.session import LawRows
from spectheory.decoding.tree import ROOT, DraftTree
from spectheory.drafting.scheme import DraftScheme


@dataclass(frozen=True)
class NgramDraft:
    """Draws from an n-gram model.

    Each text has its own copy of the counts, learnt from its prompt and from what was emitted, so
    the draft law depends on the text alone and not on the rest of a batch.

    Attributes:
        model: what all texts start from.
    """

    model: NgramModel

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def vocab_size(self) -> int:
        """The model's vocabulary."""
        return self.model.vocab_size

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _NgramDrafts([self.model.reader() for _ in range(texts)])


class _NgramDrafts:
    def __init__(self, readers: list[NgramReader]) -> None:
        self.readers = readers
        self.read = [0] * len(readers)

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        trees = []
        for text, (job, reader) in enumerate(zip(jobs, self.readers, strict=True)):
            reader.read(job.text, self.read[text])
            self.read[text] = len(job.text)
            trees.append(self._tree(job, reader, scheme))
        return trees

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        pass

    def select(self, texts: Sequence[int]) -> None:
        self.readers = [self.readers[text] for text in texts]
        self.read = [self.read[text] for text in texts]

    def _tree(self, job: DraftJob, reader: NgramReader, scheme: DraftScheme) -> DraftTree:
        tree, nodes = DraftTree(), [ROOT]
        # No context longer than the model's order is looked at.
        tail = list(job.text[-reader.order :])
        for level in range(len(job.branching)):
            laws = LawRows([reader.law(tail + tree.path_tokens(node)) for node in nodes])
            nodes = draw_below(job, tree, laws, nodes, level, scheme)
        return tree
