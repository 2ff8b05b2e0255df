"""Verification of a whole batch, level by level: requests at the same level share one call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectheory.batched.laws import DenseLaws
from spectheory.batched.rule import BatchedRule
from spectheory.decoding.tape import Key, Purpose
from spectheory.decoding.tree import ROOT
from spectheory.decoding.verifier import Drafted, LevelByLevel, Outcome


@dataclass(frozen=True)
class BatchedLevels(LevelByLevel):
    """`LevelByLevel` by an executor that takes all requests with equally many drafts at once.

    Same tape, so the same text as by the rule's definition but for rounding ties.

    Attributes:
        rule: the executor's definition.
        executor: the batched rule.
    """

    executor: BatchedRule

    @classmethod
    def of(cls, executor: BatchedRule) -> BatchedLevels:
        """The verifier for a batched rule."""
        return cls(executor.definition, executor)

    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        outcomes = [Outcome([], -1) for _ in batch]
        going = list(range(len(batch)))
        while going:
            meeting: dict[int, list[int]] = defaultdict(list)
            for b in going:
                meeting[len(batch[b].tree.drawn(_end(outcomes[b])))].append(b)
            going = []
            for count, members in meeting.items():
                nodes = [_end(outcomes[b]) for b in members]
                laws = [
                    batch[b].rows.law(node + 1, batch[b].sampling)
                    for b, node in zip(members, nodes, strict=True)
                ]
                if count:
                    tokens = self._verify([batch[b] for b in members], nodes, laws)
                for i, (b, node) in enumerate(zip(members, nodes, strict=True)):
                    if not count:
                        key = Key(batch[b].step, Purpose.TOKEN, node + 1)
                        outcomes[b] = Outcome(outcomes[b].path, batch[b].tape.token(laws[i], key))
                        continue
                    child = batch[b].tree.child(node, tokens[i])
                    path = outcomes[b].path if child is None else [*outcomes[b].path, child]
                    outcomes[b] = Outcome(path, tokens[i])
                    if child is not None:
                        going.append(b)
        return outcomes

    def _verify(self, batch: list[Drafted], nodes: list[int], laws: list[object]) -> list[int]:
        """The token at each node, drafts having been drawn there."""
        drafts = np.array([d.tree.drawn(node) for d, node in zip(batch, nodes, strict=True)])
        tape = [
            d.tape.uniforms(Key(d.step, Purpose.VERDICT, node + 1), drafts.shape[1] + 1)
            for d, node in zip(batch, nodes, strict=True)
        ]
        declared = [d.tree.laws[node] for d, node in zip(batch, nodes, strict=True)]
        target, draft = (DenseLaws(_stacked(rows)) for rows in (laws, declared))
        drawn = self.executor(target, draft, torch.as_tensor(drafts), _stacked(tape))
        return [int(token) for token in drawn.token]


def _end(outcome: Outcome) -> int:
    return outcome.path[-1] if outcome.path else ROOT


def _stacked(rows: Sequence[object]) -> Tensor:
    return torch.as_tensor(np.stack([np.asarray(row) for row in rows]))
