"""One training loop for all the small models: deterministic, checkpointed, resumable.

Everything random comes from one generator whose state is saved with the weights, so that a run
which was killed and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from spectheory.errors import InputError, ModelFailure


@dataclass(frozen=True)
class Training:
    """How to train.

    Attributes:
        steps: optimiser steps.
        rate: peak learning rate of AdamW; a linear warm-up, then a cosine down to 0.
        warmup: steps of the warm-up.
        averaging: decay of the moving average of the weights, which is what is returned.
        every: steps between checkpoints.
        seed: of the batches and of whatever noise the loss draws; the caller seeds the
            initial weights.
    """

    steps: int
    rate: float = 2e-3
    warmup: int = 100
    averaging: float = 0.998
    every: int = 200
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step.

        >>> round(Training(steps=1_000).rate_at(999), 9)
        0.0
        """
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step + 1 - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: torch.nn.Module,
    loss: Callable[[torch.nn.Module, torch.Generator], torch.Tensor],
    training: Training,
    checkpoint: Path,
    progress: Callable[[float], None] = lambda _: None,
    about: str = "",
) -> torch.nn.Module:
    """Train from scratch, or from the checkpoint if there is one; returns the averaged model.

    Args:
        model: initialised; left with its last weights.
        loss: draws a batch from the generator and returns a scalar.
        training: see `Training`.
        checkpoint: file that is replaced, never half-written, every ``training.every`` steps.
        progress: called with the number of steps done.
        about: what else the result depends on (the loss, the data); a checkpoint that was made
            about something else is refused.

    Raises:
        InputError: the checkpoint is of other settings or another model, or is damaged.
        ModelFailure: the loss is not finite.
    """
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(training.seed)
    parts = {"model": model, "average": average, "optimiser": optimiser}
    identity = _identity(model, training, about)
    start = 0
    if checkpoint.exists():
        saved = _load(checkpoint, identity)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        generator.set_state(saved["generator"])
        start = saved["step"]
    model.train()
    for step in range(start, training.steps):
        progress(step)
        for group in optimiser.param_groups:
            group["lr"] = training.rate_at(step)
        value = loss(model, generator)
        if not torch.isfinite(value):
            raise ModelFailure(f"the loss at step {step} is {value.item()}; a lower `rate`?")
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        decay = min(training.averaging, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        if (step + 1) % training.every == 0 or step + 1 == training.steps:
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"generator": generator.get_state(), "step": step + 1, "identity": identity}
            _save(checkpoint, state)
    progress(training.steps)
    return average.eval()


def _identity(model: torch.nn.Module, training: Training, about: str) -> str:
    """Digest of the settings and of the shapes, so that no other run's checkpoint is taken."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    settings = {key: value for key, value in asdict(training).items() if key != "every"}
    return hashlib.sha256(repr((settings, shapes, about)).encode()).hexdigest()


def _save(checkpoint: Path, state: dict[str, Any]) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    scratch = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}")
    torch.save(state, scratch)
    scratch.replace(checkpoint)


def _load(checkpoint: Path, identity: str) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:
        raise InputError(
            f"checkpoint {checkpoint} cannot be read ({type(error).__name__}); delete it to start "
            "again"
        ) from error
    if saved.get("identity") != identity:
        raise InputError(
            f"checkpoint {checkpoint} is of other settings or another model; delete it, or name "
            "another file"
        )
    return saved
