"""Verification of a whole batch, level by level: requests at the same level share one call.

Of a model that runs in torch a rule reads the raw logits, on their device: no row of them goes to
the host, and probabilities are made only where the rule asks for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spectheory.batched.draws import draw
from spectheory.batched.laws import DenseLaws, Laws, from_logits, greedy, softmax, truncated
from spectheory.batched.rule import BatchedRule
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import LogitRows
from spectheory.decoding.tape import Key, Purpose
from spectheory.decoding.tree import ROOT
from spectheory.decoding.verifier import Drafted, LevelByLevel, Outcome


class Meeting(NamedTuple):
    """A request at a node of its tree."""

    drafted: Drafted
    node: int

    def uniforms(self, purpose: Purpose, count: int) -> np.ndarray:
        """The request's numbers at the node."""
        key = Key(self.drafted.step, purpose, self.node + 1)
        return self.drafted.tape.uniforms(key, count)


@dataclass(frozen=True)
class BatchedLevels(LevelByLevel):
    """`LevelByLevel` by an executor that takes all requests with equally many drafts at once.

    Same tape, so the same text as by the rule's definition but for rounding ties. The executor of
    ``optimal_iid`` draws scores instead of walking a ladder: its text is another, by the same law.

    Attributes:
        rule: the executor's definition.
        executor: the batched rule.
    """

    executor: BatchedRule

    @classmethod
    def of(cls, executor: BatchedRule) -> BatchedLevels:
        """The verifier for a batched rule."""
        return cls(executor.definition, executor)

    @property
    def name(self) -> str:
        """The rule's key, and that it is batched."""
        return f"{self.rule.key}, batched"

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        paths = [list[int]() for _ in batch]
        tokens = [-1] * len(batch)
        going = list(range(len(batch)))
        while going:
            together: dict[int, list[int]] = defaultdict(list)
            for b in going:
                together[len(batch[b].tree.drawn(_end(paths[b])))].append(b)
            going = []
            for count, members in together.items():
                level = [Meeting(batch[b], _end(paths[b])) for b in members]
                for b, token in zip(members, self._tokens(level, count), strict=True):
                    tokens[b] = token
                    child = batch[b].tree.child(_end(paths[b]), token)
                    if child is not None:
                        paths[b].append(child)
                        going.append(b)
        return [Outcome(path, token) for path, token in zip(paths, tokens, strict=True)]

    def _tokens(self, level: Sequence[Meeting], count: int) -> list[int]:
        """The token that each request emits where ``count`` drafts were drawn at its node."""
        target, device = target_laws(level)
        if not count:
            tape = np.stack([at.uniforms(Purpose.TOKEN, 1)[0] for at in level])
            return list(map(int, draw(target.dense(), torch.as_tensor(tape, device=device))))
        drafts = np.array([at.drafted.tree.drawn(at.node) for at in level])
        tape = np.stack([at.uniforms(Purpose.VERDICT, count + 1) for at in level])
        declared = DenseLaws(_stacked([at.drafted.tree.laws[at.node] for at in level], device))
        given = (torch.as_tensor(array, device=device) for array in (drafts, tape))
        return list(map(int, self.executor(target, declared, *given).token))


def target_laws(level: Sequence[Meeting]) -> tuple[Laws, torch.device]:
    """The target's laws at the nodes, after each request's own parameters, and where they lie."""
    rows, samplings = zip(*((at.drafted.rows, at.drafted.sampling) for at in level), strict=True)
    if not all(isinstance(row, LogitRows) for row in rows):
        laws = [
            row.law(at.node + 1, at.drafted.sampling) for row, at in zip(rows, level, strict=True)
        ]
        return DenseLaws(_stacked(laws)), torch.device("cpu")
    logits = _stacked([row.logits[at.node + 1] for row, at in zip(rows, level, strict=True)])

    if not any(sampling.temperature for sampling in samplings):
        return greedy(logits), logits.device
    heat, count, mass = _parameters(samplings, logits)
    if logits.device.type != "cpu":
        return from_logits(logits, heat, count, mass), logits.device
    if count is mass is None and all(sampling.temperature for sampling in samplings):
        return softmax(logits, heat), logits.device
    return truncated(logits, heat, count, mass), logits.device


def _parameters(samplings: Sequence[Sampling], logits: Tensor) -> list[Any]:
    """Temperature, top-k and top-p: one value where all requests agree, else one each."""
    wanted = list[Any]()
    for name, none in (("temperature", 1.0), ("top_k", logits.shape[-1]), ("top_p", 1.0)):
        values = [getattr(sampling, name) for sampling in samplings]
        if len(set(values)) == 1:
            wanted.append(values[0])
            continue
        given = [none if value is None else value for value in values]
        # Of doubles: 0.7 in float32 would be another temperature. `from_logits` casts the counts.
        wanted.append(torch.tensor(given, dtype=torch.float64, device=logits.device))
    return wanted


def _end(path: Sequence[int]) -> int:
    return path[-1] if path else ROOT


def _stacked(rows: Sequence[object], device: torch.device | None = None) -> Tensor:
    given = [
        row if isinstance(row, Tensor) else torch.as_tensor(np.asarray(row, float), device=device)
        for row in rows
    ]
    return given[0][None] if len(given) == 1 else torch.stack(given)
