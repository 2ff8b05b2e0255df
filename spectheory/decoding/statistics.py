"""What a run of the decoder did: how many drafts were kept, where, and where the time went."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from spectheory.decoding.tree import ROOT, DraftTree

PHASES = ("draft", "verify", "sample", "host")


@dataclass
class Statistics:
    """Counts and times of one request or of many.

    Attributes:
        calls: passes of the target that emitted tokens; the prompt's is not among them.
        emitted: tokens emitted, after cuts at stop tokens and lengths.
        drafted: draft tokens verified.
        lengths: how many drafts in a row a pass accepted: count by length.
        tested: passes in which depth d (from 0) had drafts and all above were accepted.
        accepted: those of them in which depth d was accepted too.
        seconds: time by phase: prompt (reading it), draft, verify (the target's passes), sample
            (the rule), host (everything else).

    A pass that ran out of drafts, or had none, tests no further depth, so a short draft is never
    counted as a rejection.

    >>> seen, tree = Statistics(), DraftTree()
    >>> _ = tree.add(ROOT, [4], law=None)
    >>> seen.record(tree, [0], emitted=2)
    >>> seen.tokens_per_call, seen.conditional_acceptance()
    (2.0, [1.0])
    """

    calls: int = 0
    emitted: int = 0
    drafted: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    tested: Counter[int] = field(default_factory=Counter)
    accepted: Counter[int] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def record(self, tree: DraftTree, path: Sequence[int], emitted: int) -> None:
        """Count one pass: its tree, the accepted nodes, and how many tokens it emitted."""
        self.calls += 1
        self.emitted += emitted
        self.drafted += len(tree)
        self.lengths[len(path)] += 1
        for depth in range(len(path)):
            self.tested[depth] += 1
            self.accepted[depth] += 1
        if tree.draws.get(path[-1] if len(path) else ROOT):
            self.tested[len(path)] += 1

    def add(self, other: Statistics) -> None:
        """Add another run's counts and times."""
        self.calls += other.calls
        self.emitted += other.emitted
        self.drafted += other.drafted
        for mine, theirs in (
            (self.lengths, other.lengths),
            (self.tested, other.tested),
            (self.accepted, other.accepted),
        ):
            mine.update(theirs)
        for phase, spent in other.seconds.items():
            self.seconds[phase] += spent

    @property
    def tokens_per_call(self) -> float:
        """Emitted tokens a pass of the target; 0 before the first."""
        return self.emitted / self.calls if self.calls else 0.0

    def conditional_acceptance(self) -> list[float]:
        """P(depth d is accepted | all above are, and d had drafts), for d = 0, 1, .."""
        return [self.accepted[depth] / self.tested[depth] for depth in sorted(self.tested)]

    @contextmanager
    def timing(self, phase: str) -> Iterator[None]:
        """Add the block's time to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start
