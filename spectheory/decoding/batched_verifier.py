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
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.session import LogitRows, PrunedRows
from spectheory.decoding.tape import Key, Purpose
from spectheory.decoding.tree import ROOT, Origin
from spectheory.decoding.verifier import Drafted, LevelByLevel, Outcome


class Meeting(NamedTuple):
    """A request at a node of its tree."""

    drafted: Drafted
    node: int

    @property
    def target(self) -> Origin:
        """The target's law there."""
        return Origin(self.drafted.rows, self.node + 1, self.drafted.sampling)

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
        device = self._place([at.drafted for at in level])
        target = self._laws([at.target for at in level], device)
        certain = target.certain if isinstance(target, DenseLaws) and self.lossless else None
        if certain is not None:  # whatever was drafted, as at temperature 0
            return certain
        if not count:
            tape = np.stack([at.uniforms(Purpose.TOKEN, 1)[0] for at in level])
            return draw(target.dense(), torch.as_tensor(tape, device=device)).tolist()
        drafts = np.array([at.drafted.tree.drawn(at.node) for at in level])
        tape = np.stack([at.uniforms(Purpose.VERDICT, count + 1) for at in level])
        given = (torch.as_tensor(array, device=device) for array in (drafts, tape))
        declared = self._declared(level, device)
        return self.executor(target, declared, *given).token.tolist()

    def _place(self, batch: Sequence[Drafted]) -> torch.device:
        """Where laws are made."""
        return place_of(batch) or torch.device("cpu")

    def _declared(self, level: Sequence[Meeting], device: torch.device) -> Laws:
        """The laws that drafts were drawn from: on the host they are made already."""
        trees = [(at.drafted.tree, at.node) for at in level]
        if device.type == "cpu":
            return DenseLaws(_stacked([tree.laws[node] for tree, node in trees]))
        return self._laws([tree.origin(node) for tree, node in trees], device)

    def _laws(self, rows: Sequence[Origin], device: torch.device) -> Laws:
        """Laws as the executor takes them."""
        return laws_of(rows, device)


def laws_of(rows: Sequence[Origin], device: torch.device) -> Laws:
    """The laws of some rows after each one's own parameters; logits stay where they are."""
    if not any(_has_logits(row) for row in rows):
        laws = [origin.rows.law(origin.row, origin.sampling) for origin in rows]
        return DenseLaws(_stacked(laws, device))
    found, samplings = zip(*(logits_of(row, device) for row in rows), strict=True)
    logits = _stacked(found)
    if not any(sampling.temperature for sampling in samplings):
        return greedy(logits)
    heat, count, mass = parameters(samplings, logits)
    if device.type != "cpu":
        return from_logits(logits, heat, count, mass)
    if count is mass is None and all(sampling.temperature for sampling in samplings):
        return softmax(logits, heat)
    return truncated(logits, heat, count, mass)


def place_of(batch: Sequence[Drafted]) -> torch.device | None:
    """Where the target left its logits, if it gave any."""
    logits = (getattr(drafted.rows, "logits", None) for drafted in batch)
    return next((each.device for each in logits if isinstance(each, Tensor)), None)


def parameters(samplings: Sequence[Sampling], logits: Tensor) -> list[Any]:
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


def logits_of(origin: Origin, device: torch.device) -> tuple[Tensor, Sampling]:
    """``(V,)`` logits of a law on a device, and the parameters that are still to be applied.

    They stay where the model left them; of a law that is given as such, they are its logarithms.
    """
    rows, row, sampling = origin
    if not (isinstance(rows, LogitRows) and _has_logits(origin)):
        law = np.asarray(rows.law(row, sampling), float)
        return torch.as_tensor(law, device=device).log(), PLAIN
    logits = rows.logits[row].to(device)
    if not isinstance(rows, PrunedRows):
        return logits, sampling
    every = logits.new_full((rows.head.size,), -torch.inf)
    every[torch.as_tensor(rows.head.tokens, device=device)] = logits
    return every, sampling


def _has_logits(origin: Origin) -> bool:
    return isinstance(origin.rows, LogitRows) and isinstance(origin.rows.logits, Tensor)


def _end(path: Sequence[int]) -> int:
    return path[-1] if path else ROOT


def _stacked(rows: Sequence[object], device: torch.device | None = None) -> Tensor:
    given = [
        row if isinstance(row, Tensor) else torch.as_tensor(np.asarray(row, float), device=device)
        for row in rows
    ]
    return given[0][None] if len(given) == 1 else torch.stack(given)
