"""The trained code models, target and draft: how they were trained, where they are read from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from spectheory.digits.data import digits, fingerprint
from spectheory.digits.vq_codebook import encode, fit_codebook
from spectheory.digits.vq_model import CodeModel, CodeSize
from spectheory.digits.weights import FOLDER, load_weights, save_weights
from spectheory.training import Training, train

CODES = 128
SIZES = {
    "target": CodeSize(width=48, depth=2, heads=4),
    "draft": CodeSize(width=12, depth=1, heads=2),
}
STEPS = {"target": 1500, "draft": 1000}
BATCH = 64
NOISE = 0.25

Bar = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]


class CodePair(NamedTuple):
    """Target and draft over the same codes.

    Attributes:
        target, draft: the models.
        codebook: ``(V, 4)`` pixels of each code, from -1 (paper) to 1 (ink).
    """

    target: CodeModel
    draft: CodeModel
    codebook: np.ndarray


def load_code_pair(folder: Path = FOLDER) -> CodePair:
    """The shipped pair.

    Raises:
        SourceUnavailable, ChecksumMismatch, MissingDependency: see `load_weights`.
    """
    target, draft = (load_weights(_name(role), _untrained(role), folder) for role in SIZES)
    assert isinstance(target, CodeModel)
    assert isinstance(draft, CodeModel)
    return CodePair(target, draft, target.codebook.numpy().astype(np.float64))


def train_code_pair(checkpoints: Path, bar: Bar, folder: Path = FOLDER) -> None:
    """Fit the codebook, train target and draft (or go on from checkpoints), save the weights."""
    data = digits("train")
    # Rounded as the weights are saved, so that a loaded codebook encodes the same.
    codebook = fit_codebook(data.tokens, CODES).astype(np.float16).astype(np.float32)
    tokens = torch.from_numpy(encode(data.tokens, codebook))
    labels = torch.from_numpy(data.labels.copy())
    made_from = fingerprint(tokens.numpy(), data.labels, codebook)
    for role, steps in STEPS.items():
        model = _untrained(role)
        model.codebook.copy_(torch.from_numpy(codebook))
        with bar(f"code {role}", steps) as progress:
            trained = train(
                model,
                lambda model, generator: model.loss(tokens, labels, BATCH, NOISE, generator),
                Training(steps=steps),
                checkpoints / f"{_name(role)}.pt",
                progress,
                about=repr((SIZES[role], BATCH, NOISE, made_from)),
            )
        save_weights(_name(role), trained, folder)


def _untrained(role: str) -> CodeModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CodeModel(SIZES[role], CODES)


def _name(role: str) -> str:
    return f"vq-{role}"
