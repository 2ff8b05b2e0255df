"""Where drafts come from: a source proposes a tree below each text, and learns what was kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import DecodableModel, Nodes, Rows
from spectheory.decoding.tape import Key, Purpose, Tape
from spectheory.decoding.tree import ROOT, DraftTree, Origin
from spectheory.drafting.scheme import DraftScheme


class DraftJob(NamedTuple):
    """One request's turn to be drafted for.

    Attributes:
        text: all tokens so far, prompt included.
        branching: draws below each draw, level by level; empty for no draft.
        sampling: the draft's parameters.
        tape: the request's random numbers.
        step: passes of the target before this one.
    """

    text: Sequence[int]
    branching: Sequence[int]
    sampling: Sampling
    tape: Tape
    step: int


class DraftSession(Protocol):
    """A source at work on B texts; row b of every argument belongs to text b."""

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        """A tree below each text.

        A tree may end early by what a law says, never by a token sampled and then dropped: the
        law declared would no longer be the one sampled from.
        """
        ...

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        """Hear which nodes of the last trees were accepted, and the token emitted after them."""
        ...

    def select(self, texts: Sequence[int]) -> None:
        """Go on with these texts only."""
        ...


@runtime_checkable
class RunsShort(Protocol):
    """A session of a source that does not always draft as much as it is asked for."""

    def offered(self, text: Sequence[int], row: int) -> int:
        """Levels that it would draft below the text of row ``row``, however many were asked."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A target's session whose hidden states can be read."""

    def watch(self) -> int:
        """Keep states from now on; returns their size.

        Raises:
            InputError: this one's cannot be read.
        """
        ...

    def take_states(self, text: int) -> Any:
        """``(n, size)`` states of a text's tokens that were kept since they were taken last."""
        ...


@runtime_checkable
class FollowsTarget(Protocol):
    """A session of a source that also reads the target's own states."""

    def follow(self, target: object) -> None:
        """Hear which session the target has, before it reads anything.

        Raises:
            InputError: a target whose states cannot be read, or are of another size.
        """
        ...


class DraftSource(Protocol):
    """Where drafts come from.

    Attributes:
        name: for tables and messages.
        vocab_size: V; None if it proposes tokens of the text only.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int | None: ...

    def open(self, texts: int) -> DraftSession:
        """A session for that many requests."""
        ...


@dataclass(frozen=True)
class NoDraft:
    """Drafts nothing: each pass of the target emits one token, plain autoregressive decoding."""

    name: str = "none"
    vocab_size: int | None = None

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _NoDrafts()


class _NoDrafts:
    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        return [DraftTree() for _ in jobs]

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        pass

    def select(self, texts: Sequence[int]) -> None:
        pass


@dataclass(frozen=True)
class ModelDraft:
    """Draws from a draft model, level by level; its cache is rolled back with the target's.

    A text beyond the model's context goes on without drafts: whether it does depends on lengths
    alone, so rules keep their output law.
    """

    model: DecodableModel

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
        return ModelDrafts(self.model, texts)


@dataclass
class ModelDrafts:
    """A draft model at work."""

    model: DecodableModel
    texts: int
    read: list[int] = field(init=False)
    """Tokens of each text that are kept in the model's cache."""
    pending: list[int] = field(init=False)
    """Nodes of each tree that the model has read: the first so many."""

    def __post_init__(self) -> None:
        self.session = self.model.session(self.texts)
        self.read, self.pending = [0] * self.texts, [0] * self.texts

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        jobs = [_within(self.model.context, job) for job in jobs]
        trees = [DraftTree() for _ in jobs]
        depth = max((len(job.branching) for job in jobs), default=0)
        if not depth:
            return trees
        rows = self._catch_up(jobs)
        frontiers = [[ROOT] for _ in jobs]
        for level in range(depth):
            batch = []
            for job, tree, row, nodes in zip(jobs, trees, rows, frontiers, strict=True):
                below = draw_below(job, tree, row, nodes, level, scheme)
                nodes[:] = below
                deeper = below if level + 1 < len(job.branching) else []
                batch.append(
                    Nodes(
                        [tree.tokens[node] for node in deeper],
                        [tree.parents[node] for node in deeper],
                        len(deeper),
                    )
                )
            if level + 1 < depth:
                rows = self._read(batch)
                self.pending = [p + len(n.tokens) for p, n in zip(self.pending, batch, strict=True)]
        return trees

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        # Trees grow breadth first, so what was read of a tree is its first nodes.
        kept = [
            [node for node in path if node < read]
            for path, read in zip(paths, self.pending, strict=True)
        ]
        self.session.keep(kept)
        self.read = [read + len(path) for read, path in zip(self.read, kept, strict=True)]
        self.pending = [0] * len(kept)

    def select(self, texts: Sequence[int]) -> None:
        self.session.select(texts)
        self.read = [self.read[text] for text in texts]
        self.pending = [self.pending[text] for text in texts]

    def _read(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        """The laws behind the nodes of a level."""
        return self.session.extend(batch)

    def _catch_up(self, jobs: Sequence[DraftJob]) -> Sequence[Rows]:
        """Read what was emitted since the last turn; the law behind it starts the tree."""
        unread = [
            job.text[read:] if job.branching else []
            for job, read in zip(jobs, self.read, strict=True)
        ]
        rows = self.session.extend([Nodes.chain(new, min(1, len(new))) for new in unread])
        self.session.keep([range(len(new)) for new in unread])
        self.read = [read + len(new) for read, new in zip(self.read, unread, strict=True)]
        return rows


def _within(context: int | None, job: DraftJob) -> DraftJob:
    """The job with no more levels than the context has room for; the last one is never read."""
    if context is None:
        return job
    return job._replace(branching=job.branching[: max(0, context + 1 - len(job.text))])


def draw_below(
    job: DraftJob,
    tree: DraftTree,
    rows: Rows,
    nodes: Sequence[int],
    level: int,
    scheme: DraftScheme,
) -> list[int]:
    """Draw below each node of a level by its law; returns the nodes of the next.

    Where a law has fewer tokens than a scheme of distinct ones should draw, all of them are drawn.
    How many these are depends on the law alone, so rules keep their output law.

    Args:
        rows: row i is the law behind ``nodes[i]``.
        level: depth of the draws, from 0.
    """
    if level >= len(job.branching):
        return []
    below = []
    for row, node in enumerate(nodes):
        law = rows.law(row, job.sampling)
        copies = tree.copies[node] if node >= 0 else 1
        # A scheme draws the same without the tokens of probability 0, and reads that much less.
        known = law if rows.tokens is None else law[rows.tokens]
        drawn = scheme.most_drafts(known, copies * job.branching[level])
        key = Key(job.step, Purpose.DRAFT, node + 1)
        tokens = job.tape.drafts(scheme, known, drawn, key)
        if rows.tokens is not None:
            tokens = rows.tokens[tokens].tolist()
        below += tree.add(node, tokens, law, Origin(rows, row, job.sampling))
    return below
