"""Refuses weights that main memory has no room for, before it is taken.

Linux promises memory that it does not have: a process that then fills it makes the machine crawl
for minutes, and is killed without a word. A container's limit kills it sooner.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Where Linux keeps a container's limit, what is used of it, and the part of that which it drops
when room runs short; in the second version of control groups and in the first."""


def check_room(needed: int, what: str, remedy: str) -> None:
    """Refuse what takes more bytes than are available.

    Args:
        needed: bytes.
        what: would take them.
        remedy: what the user can do.

    Raises:
        MemoryError: there are fewer.
    """
    available = available_bytes()
    if needed > available:
        raise MemoryError(
            f"{what}: {needed / 1e9:.1f} GB needed, {available / 1e9:.1f} GB available; {remedy}"
        )


def available_bytes() -> int:
    """Bytes of main memory that can be taken: the machine's, or what a container's limit leaves."""
    import psutil

    available = int(psutil.virtual_memory().available)
    for folder, limit, used, dropped in CONTROL_GROUPS:
        if (folder / limit).is_file():
            most = (folder / limit).read_text().strip()
            if most != "max":
                left = int(most) - int((folder / used).read_text())
                available = min(available, left + _dropped(folder, dropped))
    return available


def _dropped(folder: Path, name: str) -> int:
    """Bytes that would be dropped; some sandboxes do not say, and 0 is safe then."""
    file = folder / "memory.stat"
    lines = file.read_text().splitlines() if file.is_file() else []
    return int(dict(map(str.split, lines)).get(name, 0))


def weight_bytes(folder: Path, itemsize: int) -> int:
    """Bytes of the safetensors weights that transformers loads from a folder, once it has.

    Args:
        folder: holds them.
        itemsize: bytes of the type that floating-point numbers are loaded in; quantised ones stay
            as they are.

    Raises:
        OSError, ValueError: files that are not there, or no safetensors.
    """
    total = 0
    for file in _read_from(folder):
        for name, tensor in _header(file).items():
            if name == "__metadata__":
                continue
            begin, end = tensor["data_offsets"]
            floating = tensor["dtype"] in ("BF16", "F16", "F32", "F64")
            total += math.prod(tensor["shape"]) * itemsize if floating else end - begin
    return total


def _read_from(folder: Path) -> list[Path]:
    """The files that hold the weights; others beside them may hold the same in another form."""
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    if index.is_file():
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / name for name in sorted(set(shards))]
    return sorted(folder.glob("*.safetensors"))


def _header(file: Path) -> dict[str, Any]:
    """Eight bytes of length, then JSON."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} holds no safetensors. A pointer of Git LFS?")
        found: dict[str, Any] = json.loads(content.read(length))
    return found
