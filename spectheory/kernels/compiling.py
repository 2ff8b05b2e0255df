"""Compilation with a cache that no older source can leak into.

Numba files a cached function under its own source file. A function that calls one from another
file keeps the old machine code of it when that file changes, and so a stale cache can give
silently wrong numbers after an update. Here the cache folder is named by a digest of all kernel
sources: change one and all are compiled again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def cache_folder() -> Path:
    """Where compiled kernels of just these sources are kept."""
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(here.glob("*.py")):
        digest.update(source.read_bytes())
    beside = here / "__pycache__"
    writable = os.access(beside if beside.exists() else here, os.W_OK)
    root = beside if writable else Path.home() / ".cache" / "spectheory"
    return root / f"numba-{digest.hexdigest()[:16]}"


FOLDER = cache_folder()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit(cache=True, **options)`` with the cache in `FOLDER`."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(FOLDER)  # read when the function is decorated
        try:
            return numba.njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate
