"""Verification by Triton kernels: chains by rejection all at once, trees by the optimal rule.

Laws go to the kernels as logits, the draft's like the target's. Temperatures may differ between
requests; rows that are truncated or greedy are cut in torch first, and read by the same kernels.
Where nothing was drafted at all, torch draws from the target's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from spectheory.batched.laws import Laws, LogitLaws, from_logits
from spectheory.batched.on_device import optimal_iid_on_device, verify_chain_on_device, weigh
from spectheory.batched.rule import BatchedRule
from spectheory.decoding.batched_verifier import (
    BatchedLevels,
    Meeting,
    logits_of,
    parameters,
    place_of,
)
from spectheory.decoding.tape import Purpose
from spectheory.decoding.tree import ROOT, Origin
from spectheory.decoding.verifier import Drafted, LevelByLevel, Outcome
from spectheory.errors import InputError, MissingDependency
from spectheory.verdict import Draw
from spectheory.verification.rule import rule as rule_named

PRECISION = torch.float64
"""Of probabilities, so that texts are those of the other executors but for rounding ties."""


def kernels_for(rule: str, target: Any) -> LevelByLevel:
    """The verifier that runs a rule's kernels.

    Args:
        rule: key; `rejection` or `optimal_iid`.
        target: the model whose laws are verified against; None if it is still to be read.

    Raises:
        InputError: another rule, or a target that does not run where kernels do.
        MissingDependency: no Triton.
    """
    if rule not in ("rejection", "optimal_iid"):
        raise InputError(
            f"`executor` is 'triton', which rule `{rule}` does not have; the rules that do: "
            "rejection, optimal_iid"
        )
    try:
        import triton  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "`triton` is not installed; `executor` 'triton' needs "
            "`pip install 'spectheory[kernels]'`"
        ) from error
    place = getattr(getattr(target, "module", None), "device", _runs_on())
    if place.type != "cuda" and not _interpreted():
        raise InputError(
            "`executor` is 'triton', whose kernels run on CUDA; the target runs on "
            f"{place.type}. No GPU, or a CPU build of torch? `batched` needs neither"
        )
    return TritonChains(rule_named(rule)) if rule == "rejection" else TritonLevels.of(_Optimal())


@dataclass(frozen=True)
class TritonChains(LevelByLevel):
    """Rejection along the chains of all requests in one call, ragged lengths side by side.

    Same tape as the definition, so the same text but for rounding ties.
    """

    @property
    def name(self) -> str:
        """The rule's key, and what runs it."""
        return f"{self.rule.key}, triton"

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        lengths = [len(drafted.tree) for drafted in batch]
        most = max(lengths)
        place = place_of(batch) or _runs_on()
        target = _filled([_target_rows(drafted) for drafted in batch], most + 1, place)
        if most:
            declared = [[d.tree.origin(n) for n in range(ROOT, len(d.tree) - 1)] for d in batch]
            draft = _filled(declared, most, place)
        else:
            draft = target[:, :0]
        drafts, tape = np.zeros((len(batch), most), np.int64), np.zeros((len(batch), most + 1, 2))
        for b, drafted in enumerate(batch):
            drafts[b, : lengths[b]] = drafted.tree.tokens
            for level in range(lengths[b]):
                tape[b, level] = Meeting(drafted, level - 1).uniforms(Purpose.VERDICT, 2)
            # What is drawn behind the whole chain is no verdict: it has a key of its own.
            leaf = Meeting(drafted, lengths[b] - 1)
            tape[b, lengths[b], 1] = leaf.uniforms(Purpose.TOKEN, 1)[0]
        given = (torch.as_tensor(array, device=place) for array in (drafts, tape, lengths))
        drawn = verify_chain_on_device(target, draft, *given)
        found = zip(drawn.kept.tolist(), drawn.token.tolist(), strict=True)
        return [Outcome(list(range(kept)), token) for kept, token in found]


@dataclass(frozen=True)
class TritonLevels(BatchedLevels):
    """`BatchedLevels` on laws that kernels read."""

    @property
    def name(self) -> str:
        """The rule's key, and what runs it."""
        return f"{self.rule.key}, triton"

    def _place(self, batch: Sequence[Drafted]) -> torch.device:
        return place_of(batch) or _runs_on()

    def _declared(self, level: Sequence[Meeting], device: torch.device) -> Laws:
        return self._laws([at.drafted.tree.origin(at.node) for at in level], device)

    def _laws(self, rows: Sequence[Origin], device: torch.device) -> Laws:
        return kernel_laws(rows, device)


class _Optimal(BatchedRule):
    """`BatchedOptimalIid` by kernels."""

    key: ClassVar[str] = "optimal_iid"

    def __call__(self, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor) -> Draw:
        assert isinstance(target, LogitLaws)
        assert isinstance(draft, LogitLaws)
        return optimal_iid_on_device(target, draft, drafts, uniforms)

    _draw = __call__


def kernel_laws(
    rows: Sequence[Origin], device: torch.device, shape: tuple[int, ...] | None = None
) -> LogitLaws:
    """Laws after each row's own parameters, as kernels read them; ``(n, V)`` or ``(*shape, V)``."""
    shape = shape or (len(rows),)
    found, samplings = zip(*(logits_of(row, device) for row in rows), strict=True)
    logits = torch.stack(found).reshape(*shape, -1)
    heat, count, mass = (
        value.reshape(shape) if isinstance(value, Tensor) else value
        for value in parameters(samplings, logits)
    )
    if count is mass is None and all(sampling.temperature for sampling in samplings):
        return weigh(logits, heat, PRECISION)
    return from_logits(logits, heat, count, mass, PRECISION)


def _filled(chains: Sequence[Sequence[Origin]], width: int, device: torch.device) -> LogitLaws:
    """``(B, width, V)`` laws of chains; behind a shorter one stand rows that nobody reads."""
    some = next(row for chain in chains for row in chain)
    rows = [row for chain in chains for row in [*chain, *[some] * (width - len(chain))]]
    return kernel_laws(rows, device, (len(chains), width))


def _target_rows(drafted: Drafted) -> list[Origin]:
    return [Origin(drafted.rows, row, drafted.sampling) for row in range(len(drafted.tree) + 1)]


def _runs_on() -> torch.device:
    """Where kernels read laws that no model left on a device."""
    return torch.device("cuda" if torch.cuda.is_available() and not _interpreted() else "cpu")


def _interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, as it found when it was first imported."""
    from triton.runtime.jit import JITFunction

    from spectheory.kernels.triton_chain import walk

    return not isinstance(walk, JITFunction)
