"""The trained target and draft: how they were trained, and where they are read from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import torch

from spectheory.digits.data import digits, fingerprint
from spectheory.digits.diffusion_model import DRAFT, TARGET, DiffusionModel, Size
from spectheory.digits.weights import FOLDER, load_weights, save_weights
from spectheory.training import Training, train

SEEDS = (0, 1, 2)
"""Seeds of the pairs that ship: other initial weights, batches and noise."""

BATCH, NOISES = 64, 2
SIZES: dict[str, Size] = {"target": TARGET, "draft": DRAFT}
STEPS = {"target": 4500, "draft": 3000}

Bar = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]


class DiffusionPair(NamedTuple):
    """A target of 96,564 parameters and a draft of 7,372."""

    target: DiffusionModel
    draft: DiffusionModel


def load_pair(seed: int = 0, folder: Path = FOLDER) -> DiffusionPair:
    """The shipped pair of that training seed.

    Raises:
        SourceUnavailable: no such seed.
        ChecksumMismatch, MissingDependency: see `load_weights`.
    """
    return DiffusionPair(
        *(load_weights(_name(role, seed), _untrained(role, seed), folder) for role in SIZES)
    )


def train_pair(seed: int, checkpoints: Path, bar: Bar, folder: Path = FOLDER) -> None:
    """Train target and draft of one seed, or go on from their checkpoints, and save the weights."""
    data = digits("train")
    for role in SIZES:
        with bar(f"{role} {seed}", STEPS[role]) as progress:
            model = train(
                _untrained(role, seed),
                lambda model, generator: model.loss(data, BATCH, NOISES, generator),
                Training(steps=STEPS[role], seed=seed),
                checkpoints / f"{_name(role, seed)}.pt",
                progress,
                about=repr((SIZES[role], BATCH, NOISES, fingerprint(*data))),
            )
        save_weights(_name(role, seed), model, folder)


def _untrained(role: str, seed: int) -> DiffusionModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DiffusionModel(SIZES[role])


def _name(role: str, seed: int) -> str:
    return f"diffusion-{role}-{seed}"
