"""Trained weights that ship with the package, each pinned by its digest in ``checksums.toml``."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import torch

from spectheory.errors import ChecksumMismatch, MissingDependency, SourceUnavailable

FOLDER = Path(__file__).parent / "weights"
CHECKSUMS = "checksums.toml"


def save_weights(name: str, model: torch.nn.Module, folder: Path = FOLDER) -> Path:
    """Write a model's weights in float16 as ``<name>.safetensors`` and pin their digest."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({key: v.half().contiguous() for key, v in model.state_dict().items()}, path)
    path.chmod(0o644)  # safetensors writes files that only their owner can read
    pinned = _checksums(folder) | {path.name: _digest(path)}
    lines = [f'"{file}" = "{digest}"\n' for file, digest in sorted(pinned.items())]
    (folder / CHECKSUMS).write_text("# sha256 of the weights\n" + "".join(lines), encoding="utf-8")
    return path


def load_weights(name: str, model: torch.nn.Module, folder: Path = FOLDER) -> torch.nn.Module:
    """Put the weights called ``name`` into ``model``, as float32; returns it, set to evaluate.

    Raises:
        SourceUnavailable: there are none of that name, or they do not fit the model.
        ChecksumMismatch: the file is not the one that was pinned.
        MissingDependency: safetensors is not installed.
    """
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingDependency(
            "weights are read by safetensors: pip install 'spectheory[images]'"
        ) from error
    path, pinned = folder / f"{name}.safetensors", _checksums(folder)
    if path.name not in pinned or not path.exists():
        have = ", ".join(sorted(pinned)) or "none"
        raise SourceUnavailable(f"no weights {path.name} in {folder}; there are: {have}")
    if _digest(path) != pinned[path.name]:
        raise ChecksumMismatch(f"{path} is not the file pinned in {CHECKSUMS}: changed or damaged")
    try:
        model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except RuntimeError as error:
        raise SourceUnavailable(f"the weights {path.name} do not fit the model: {error}") from error
    return model.eval().requires_grad_(False)


def pinned(prefix: str, folder: Path = FOLDER) -> dict[str, str]:
    """Digests of the weights whose names begin like this, by file."""
    return {file: digest for file, digest in _checksums(folder).items() if file.startswith(prefix)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
