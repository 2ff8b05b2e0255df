"""What times were measured on."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """The processor's name as Linux gives it, elsewhere as Python does, or else its kind."""
    names = (line.partition(":") for line in _lines() if line.startswith("model name"))
    found = next((name.strip() for _, _, name in names), "")
    return found or platform.processor() or platform.machine()


def _lines() -> list[str]:
    return CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
